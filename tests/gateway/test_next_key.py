"""A key that is to take the place of a device's: a peer beside it until it does, and then its own."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Network, ip_interface, ip_network
from typing import TYPE_CHECKING

from wirewright.dynamic import link_local
from wirewright.dynamic.identity import SERVER
from wirewright.gateway.core import GatewayCore
from wirewright.gateway.instructions import (
    Device,
    GatewayState,
    PutDevice,
    RemoveDevice,
    Settings,
    instruction_from_json,
    instruction_to_json,
)
from wirewright.gateway.members import EngineChange, device_change
from wirewright.keys import PresharedKey, SecretKey

if TYPE_CHECKING:
    from wirewright.host.device import PeerChange

OLD, NEW = (SecretKey.generate().public_key for _ in range(2))
LEASED = ip_network("10.88.0.9/32")
SETTINGS = Settings((ip_interface("10.88.0.1/16"),), (ip_network("10.88.0.0/16"),))
DEVICE = Device("one", OLD, (LEASED,), preshared_key=PresharedKey.generate(), leased=(LEASED,))
WAITING = replace(DEVICE, next_key=NEW)


def identity(of: object) -> IPv6Network:
    return IPv6Network((link_local(of), 128))  # type: ignore[arg-type]


def told(*devices: Device, identities: bool = True) -> GatewayCore:
    core = GatewayCore(identities=identities)
    core.take(GatewayState(1, SETTINGS, devices))
    core.change(0)
    return core


def changed(core: GatewayCore, device: Device) -> EngineChange:
    assert core.revision is not None
    core.take(PutDevice(core.revision + 1, device))
    change = core.change(0)
    assert change is not None
    return change


def peers(change: EngineChange) -> dict[object, PeerChange]:
    return {peer.public_key: peer for peer in device_change(change, filtered=True).peers}


def test_it_has_its_link_local_address_and_may_ask_for_leases_and_nothing_else() -> None:
    core = told(DEVICE)
    change = changed(core, WAITING)
    [peer] = peers(change).values()
    assert (peer.public_key, peer.allowed_ips) == (NEW, (identity(NEW),))
    assert peer.preshared_key == DEVICE.preshared_key
    assert peer.rules is not None
    [rule] = peer.rules
    assert (rule.network, str(rule.protocol), rule.ports and rule.ports.first) == (
        IPv6Network(SERVER),
        "tcp",
        970,
    )
    # Nobody takes it for another device.
    assert (core.owner(NEW), core.owner(OLD), core.count) == (None, "one", 1)
    assert core.state() == GatewayState(2, SETTINGS, (WAITING,))


def test_it_takes_the_place_and_keeps_its_session() -> None:
    core = told(WAITING)
    change = changed(core, replace(DEVICE, public_key=NEW))
    found = peers(change)
    assert {key: peer.remove for key, peer in found.items()} == {OLD: True, NEW: False}
    assert set(found[NEW].allowed_ips or ()) == {LEASED, identity(NEW)}
    assert core.owner(NEW) == "one"


def test_it_goes_with_its_time_with_the_device_or_when_that_is_disabled() -> None:
    for after in (DEVICE, replace(WAITING, enabled=False)):
        core = told(WAITING)
        assert peers(changed(core, after))[NEW].remove
    core = told(WAITING)
    core.take(RemoveDevice(2, "one", OLD))
    change = core.change(0)
    assert change is not None
    assert {key for key, peer in peers(change).items() if peer.remove} == {OLD, NEW}
    core = told(replace(WAITING, expires=5))
    change = core.change(5)
    assert change is not None
    assert {key for key, peer in peers(change).items() if peer.remove} == {OLD, NEW}


def test_a_gateway_that_serves_no_leases_has_no_such_peer() -> None:
    core = told(WAITING, identities=False)
    assert [member.public_key for member in core.members.values()] == [OLD]


def test_a_state_has_it_too_and_a_later_one_has_not() -> None:
    core = told(WAITING)
    assert {member.public_key for member in core.members.values()} == {OLD, NEW}
    core.take(GatewayState(9, SETTINGS, (DEVICE,)))
    change = core.change(0)
    assert change is not None
    assert [member.public_key for member in change.removed] == [NEW]


def test_what_is_on_lease_is_known_and_changes() -> None:
    core = told(DEVICE)
    assert core.leased == frozenset({LEASED.network_address})
    assert core.pools == SETTINGS.pools
    changed(core, replace(DEVICE, addresses=(), leased=()))
    assert core.leased == frozenset()
    changed(core, DEVICE)
    assert core.leased == frozenset({LEASED.network_address})
    core.take(RemoveDevice(4, "one", OLD))
    assert core.leased == frozenset()


def test_both_are_told_over_the_wire_and_an_older_coordinator_says_neither() -> None:
    said = PutDevice(3, replace(WAITING, preshared_key=None))
    name, value = instruction_to_json(said)
    assert instruction_from_json(name, value) == said
    del value["device"]["leased"], value["device"]["next_key"]
    assert instruction_from_json(name, value) == PutDevice(3, replace(DEVICE, preshared_key=None, leased=()))
