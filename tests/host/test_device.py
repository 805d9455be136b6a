"""What an interface can be told."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from wirewright.host.device import DeviceChange, PeerChange, SocketAddress
from wirewright.keys import PublicKey

KEY = PublicKey.from_hex("b1" * 32)


@pytest.mark.parametrize("number", [-1, 65536, 1 << 40])
def test_a_number_out_of_range_is_refused_with_its_name(number: int) -> None:
    address = ip_address("192.0.2.1")
    for name, make in (
        ("listen_port", lambda: DeviceChange(listen_port=number)),
        ("persistent_keepalive", lambda: PeerChange(KEY, persistent_keepalive=number)),
        ("the port of an endpoint", lambda: SocketAddress(address, number)),
    ):
        with pytest.raises(ValueError, match=f"^{name} is a number from 0 to 65535, not {number}$"):
            make()


@pytest.mark.parametrize("number", [-1, 1 << 32])
def test_a_mark_out_of_range_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="fwmark is a number from 0 to 4294967295"):
        DeviceChange(fwmark=number)


def test_the_ends_of_each_range_are_taken() -> None:
    for number in (0, 65535):
        DeviceChange(listen_port=number, fwmark=number)
        PeerChange(KEY, persistent_keepalive=number)
        SocketAddress(ip_address("fd00::1"), number)
    DeviceChange(fwmark=(1 << 32) - 1)
