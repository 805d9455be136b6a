"""A gateway's interface whose firewall refuses: whoever is to go, goes."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from wirewright.gateway.engines.interface import GatewayInterface, Options
from wirewright.gateway.instructions import Device
from wirewright.gateway.members import EngineChange, Member, Placement
from wirewright.host.filtering import PacketFilter

from .models import key, single

if TYPE_CHECKING:
    from wirewright.host.device import DeviceChange


class Host:
    """An engine that notes what it is told, and a firewall that refuses."""

    name = "wirewright"

    def __init__(self) -> None:
        self.told: list[DeviceChange] = []
        self.refuses = True

    def set(self, interface: str, change: DeviceChange) -> None:
        assert interface == "wg0"
        self.told.append(change)

    def change(self, put: object, removed: object) -> None:
        if self.refuses:
            raise OSError(errno.ENOSPC, "no room")


def member(number: int) -> Member:
    device = Device(f"number-{number}", key(number), (single(number),))
    return Member(device.id, device.public_key, device.addresses)


def test_who_is_removed_is_cut_though_the_firewall_refuses() -> None:
    host = Host()
    interface = GatewayInterface("wg0", None, Options())
    interface.engine, interface._firewall = host, host  # type: ignore[assignment]
    change = EngineChange((), PacketFilter(), (Placement(member(1)),), (member(2),))
    with pytest.raises(OSError, match="no room"):
        interface.change(change)
    (told,) = host.told
    assert [(peer.public_key, peer.remove) for peer in told.peers] == [(key(2), True)]
    host.refuses = False
    interface.change(change)
    assert [(peer.public_key, peer.remove) for peer in host.told[1].peers] == [
        (key(2), True),
        (key(1), False),
    ]
