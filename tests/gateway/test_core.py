"""From instructions to an engine, in virtual time: whatever happens on the way, the engine is as was told."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, ip_network

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from wirewright.dynamic import link_local
from wirewright.gateway.core import GapError, GatewayCore
from wirewright.gateway.instructions import (
    Device,
    GatewayState,
    Instruction,
    PutDevice,
    PutSettings,
    RemoveDevice,
)
from wirewright.gateway.members import Member
from wirewright.gateway.policy import DEFAULT_POLICY, NOTHING
from wirewright.keys import PresharedKey

from .models import SETTINGS, Coordinator, Engine, key, single

PRESHARED = PresharedKey.generate()
DEVICES = st.builds(
    Device,
    st.sampled_from(["one", "two", "three", "four"]),
    st.integers(0, 4).map(key),
    st.lists(st.integers(0, 5).map(single), max_size=3).map(tuple),
    st.sampled_from([DEFAULT_POLICY, NOTHING]),
    st.sampled_from([None, PRESHARED]),
    st.booleans(),
    st.none() | st.integers(1, 50),
)


def active(device: Device, now: int) -> bool:
    return device.enabled and (device.expires is None or device.expires > now)


def member(device: Device) -> Member:
    networks = tuple(dict.fromkeys(device.addresses))
    return Member(device.id, device.public_key, networks, device.policy.allowed(), device.preshared_key)


def device(number: int, **more: object) -> Device:
    return replace(Device(f"number-{number}", key(number), (single(number),)), **more)  # type: ignore[arg-type]


class Gateway(RuleBasedStateMachine):
    """A coordinator, a gateway that loses it now and then, an engine that fails, and a clock that is set."""

    def __init__(self) -> None:
        super().__init__()
        self.coordinator = Coordinator()
        self.core = GatewayCore()
        self.coming: list[Instruction] = []
        self.now = 0

    @initialize(filtered=st.booleans())
    def begin(self, filtered: bool) -> None:
        self.engine = Engine(filtered)

    @rule(device=DEVICES)
    def put(self, device: Device) -> None:
        before = self.coordinator.revision
        self.coordinator.put(device)
        self.coming += self.coordinator.after(before)

    @rule(name=st.sampled_from(["one", "two", "three", "four"]))
    def remove(self, name: str) -> None:
        before = self.coordinator.revision
        self.coordinator.remove(name)
        self.coming += self.coordinator.after(before)

    @rule(chosen=st.sampled_from(SETTINGS))
    def settle(self, chosen: object) -> None:
        before = self.coordinator.revision
        self.coordinator.settle(chosen)  # type: ignore[arg-type]
        self.coming += self.coordinator.after(before)

    @rule(count=st.integers(1, 4))
    def hear(self, count: int) -> None:
        while self.coming and count:
            count -= 1
            try:
                self.core.take(self.coming.pop(0))
            except GapError:
                self.coming = [self.coordinator.state()]

    @rule()
    def come_back(self) -> None:
        self.coming = list(self.coordinator.after(self.core.revision))

    @rule()
    def hear_all_again(self) -> None:
        for told in self.coordinator.log:
            if self.core.revision is not None and told.revision <= self.core.revision:
                assert not self.core.take(told)

    @rule()
    def forget(self) -> None:
        self.coordinator.forget()

    @rule(seconds=st.integers(1, 20))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(now=st.integers(0, 50))
    def set_clock(self, now: int) -> None:
        self.now = now

    @rule()
    def fail(self) -> None:
        """The engine does nothing, and it is not known what it has."""
        if self.core.change(self.now) is not None:
            self.core.lost()

    @rule()
    def restart(self) -> None:
        """Another process, with what was kept."""
        kept, self.core = self.core.state(), GatewayCore()
        if kept is not None:
            self.core.take(kept)
        self.coming = list(self.coordinator.after(self.core.revision))

    @rule()
    def work(self) -> None:
        change = self.core.change(self.now)
        if change is not None:
            self.engine.apply(change)
        assert self.core.change(self.now) is None, "once is enough"
        state = self.core.state()
        told = state.devices if state else ()
        shall_be = [each for each in told if active(each, self.now)]
        self.engine.assert_has([member(each) for each in shall_be])
        expiring = [each.expires for each in shall_be if each.expires is not None]
        assert self.core.deadline() == min(expiring, default=None)

    @precondition(lambda self: self.core.revision is not None)
    @invariant()
    def knows_what_was_told_up_to_its_revision(self) -> None:
        state = self.core.state()
        assert state is not None
        if state.revision == self.coordinator.revision:
            found = {each.id: each for each in state.devices if each.enabled}
            told = {each.id: each for each in self.coordinator.devices.values() if each.enabled}
            assert {name: member(each) for name, each in found.items()} == {
                name: member(each) for name, each in told.items()
            }
            assert state.settings == self.coordinator.settings


TestGateway = Gateway.TestCase
TestGateway.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def begun(*devices: Device) -> tuple[GatewayCore, Engine]:
    core, engine = GatewayCore(), Engine()
    core.take(GatewayState(1, SETTINGS[0], devices, "log"))
    change = core.change(0)
    assert change is not None
    engine.apply(change)
    engine.told = 0
    return core, engine


def work(core: GatewayCore, engine: Engine, now: int = 0) -> None:
    change = core.change(now)
    assert change is not None
    engine.apply(change)


@pytest.mark.parametrize("count", [10, 5000])
def test_a_change_costs_the_same_among_thousands_as_among_ten(count: int) -> None:
    core, engine = begun(*(device(number, expires=10**6 + number) for number in range(count)))
    core.take(PutDevice(2, device(3, policy=NOTHING)))
    work(core, engine)
    core.take(RemoveDevice(3, "number-4", key(4)))
    work(core, engine)
    core.take(PutDevice(4, device(5, enabled=False)))
    work(core, engine)
    work(core, engine, 10**6)
    assert engine.told == 2 * 4, "a peer and a chain each"


def test_what_differs_is_all_that_is_told() -> None:
    core, engine = begun(device(1), device(2))
    core.take(PutDevice(2, device(1)))
    assert core.change(0) is None
    core.take(PutDevice(3, device(1, addresses=(single(1), single(7)))))
    change = core.change(0)
    assert change is not None
    engine.apply(change)
    (placement,) = change.put
    assert placement.before is not None
    assert engine.peers[key(1)].networks == {single(1), single(7)}


def test_an_address_that_is_taken_away_is_the_engine_s_no_more() -> None:
    core, engine = begun(device(1, addresses=(single(1), single(7))), device(2))
    core.take(PutDevice(2, device(1)))
    work(core, engine)
    engine.assert_has([member(device(1)), member(device(2))])


def test_a_successor_takes_from_peers_what_they_have_no_more() -> None:
    _, engine = begun(device(1, addresses=(single(1), single(7)), preshared_key=PRESHARED), device(2))
    successor = GatewayCore()
    successor.take(GatewayState(5, SETTINGS[0], (device(1), device(3)), "log"))
    work(successor, engine)
    engine.assert_has([member(device(1)), member(device(3))])


def test_a_new_preshared_key_is_no_business_of_the_firewall_s() -> None:
    core, engine = begun(device(1), device(2))
    core.take(PutDevice(2, device(1, preshared_key=PRESHARED)))
    work(core, engine)
    assert engine.told == 1
    assert engine.peers[key(1)].preshared_key == PRESHARED


def test_a_gap_is_noticed_and_what_is_old_is_passed_over() -> None:
    core, _ = begun(device(1))
    with pytest.raises(GapError):
        core.take(PutDevice(3, device(2)))
    assert core.revision == 1
    assert core.take(PutDevice(2, device(2)))
    assert not core.take(PutDevice(2, device(2, enabled=False)))
    assert core.take(PutDevice(3, device(3)))


def test_a_change_before_any_state_is_a_gap() -> None:
    with pytest.raises(GapError):
        GatewayCore().take(PutDevice(1, device(1)))


def test_a_device_is_cut_at_its_moment_and_comes_back_if_it_is_given_more_time() -> None:
    core, engine = begun(device(1, expires=100), device(2))
    assert core.deadline() == 100
    assert core.change(99) is None
    work(core, engine, 100)
    assert set(engine.peers) == {key(2)}
    assert core.expired == 1
    core.take(PutDevice(2, device(1, expires=200)))
    work(core, engine, 101)
    assert set(engine.peers) == {key(1), key(2)}
    assert core.deadline() == 200


def test_a_clock_that_was_ahead_and_is_set_right_gives_devices_back() -> None:
    core, engine = begun(device(1, expires=100))
    work(core, engine, 10**9)
    assert not engine.peers
    work(core, engine, 50)
    assert set(engine.peers) == {key(1)}
    work(core, engine, 100)
    assert not engine.peers


def test_of_two_devices_with_one_address_or_key_the_newer_has_it() -> None:
    core, engine = begun(device(1), device(2))
    core.take(PutDevice(2, device(3, addresses=(single(1),))))
    work(core, engine)
    assert engine.peers[key(1)].networks == set()
    assert engine.peers[key(3)].networks == {single(1)}
    core.take(PutDevice(3, device(4, public_key=key(2))))
    work(core, engine)
    assert engine.peers[key(2)].networks == {single(4)}
    assert set(engine.devices) == {"number-1", "number-3", "number-4"}


def test_puts_without_end_do_not_grow_what_waits_to_expire() -> None:
    core, _ = begun(device(1))
    for number in range(1000):
        core.take(PutDevice(number + 2, device(1, expires=10**9 + number)))
    assert len(core._expiries) < 100


def test_devices_of_a_server_of_leases_have_link_local_addresses_and_may_ask_it() -> None:
    core = GatewayCore(identities=True)
    core.take(GatewayState(1, SETTINGS[0], (device(1, policy=NOTHING),), "log"))
    change = core.change(0)
    assert change is not None
    (placement,) = change.put
    assert placement.after.networks == (single(1), ip_network(f"{link_local(key(1))}/128"))
    assert [str(rule) for rule in placement.after.rules] == ["tcp fe80::/128 970"]
    assert IPv6Address("fe80::") in change.filter.own
    assert ip_network("fe80::/64") in change.filter.protected


def test_an_address_outside_of_the_pools_or_of_the_gateway_itself_is_left_out_and_counted() -> None:
    core = GatewayCore()
    strange = ("203.0.113.9/32", "10.88.0.1/32", "fd88::2/128", "169.254.169.254/32")
    networks = tuple(ip_network(text) for text in ("10.88.0.2/32", *strange))
    core.take(GatewayState(1, SETTINGS[0], (device(1, addresses=networks),), "log"))
    core.change(0)
    assert core.members["number-1"].networks == networks[:1]
    assert core.left_out == 4
    # A pool that comes brings the address in.
    core.take(PutSettings(2, SETTINGS[1]))
    core.change(0)
    assert core.members["number-1"].networks == (networks[0], networks[3])
