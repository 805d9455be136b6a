"""Which policies of a gateway's firewall have sets, and what moves, beside a table that refuses nonsense."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as some

from wirewright.gateway.firewall import policies
from wirewright.gateway.firewall.policies import COMMON, MANY, Device, Policies, SharedAddressError
from wirewright.host.filtering import AllowRule, PortRange, Protocol

if TYPE_CHECKING:
    from wirewright.config.values import IPAddress
    from wirewright.gateway.firewall.policies import Allowed, Plan

WORLD = ip_network("0.0.0.0/0")


def policy(number: int) -> Allowed:
    return (AllowRule(WORLD, Protocol.TCP, PortRange(number, number)),)


def address(number: int) -> IPAddress:
    return ip_address("10.88.0.0") + number


def device(number: int, allowed: int, *addresses: int) -> Device:
    where = tuple(map(address, addresses or (number,)))
    return Device(f"number-{number}", where, policy(allowed))


@dataclass
class Table:
    """Chains, sets and the map, as the kernel has them: what is not there cannot go, nor come twice."""

    chains: dict[int, Allowed] = field(default_factory=dict)
    sets: dict[int, set[IPAddress]] = field(default_factory=dict)
    order: tuple[int, ...] = ()
    map: dict[IPAddress, int] = field(default_factory=dict)
    elements: int = 0
    """That came or went by the last plan."""

    def carry_out(self, plan: Plan) -> None:
        self.elements = len(plan.left) + len(plan.entered)
        after = {one.number for one in plan.have_sets}
        for (number, has_sets), each in plan.left:
            if has_sets:
                assert number in after, "the whole set goes"
                self.sets[number].remove(each)
            else:
                assert self.map.pop(each) == number
        for begun in plan.begun:
            assert begun.number not in self.chains
            self.chains[begun.number] = begun.allowed
        before = set(self.sets)
        assert before == {one.number for one in plan.had_sets}
        self.sets |= {number: set() for number in after - before}
        self.order = tuple(one.number for one in plan.have_sets)
        for number in before - after:
            self.elements += len(self.sets.pop(number))
        for ended in plan.ended:
            assert ended.number not in self.sets
            assert ended.number not in self.map.values()
            del self.chains[ended.number]
        for (number, has_sets), each in plan.entered:
            assert number in self.chains
            if has_sets:
                assert each not in self.sets[number]
                self.sets[number].add(each)
            else:
                assert each not in self.map
                self.map[each] = number

    def followed(self) -> dict[IPAddress, Allowed]:
        """Give the policy of each address: that of the first set that has it, else the map's."""
        found = {each: self.chains[number] for each, number in self.map.items()}
        for number in reversed(self.order):
            found |= dict.fromkeys(self.sets[number], self.chains[number])
        assert len(found) == len(self.map) + sum(map(len, self.sets.values())), "an address in two places"
        return found


class Gateway:
    """Policies, the table that follows them, and the devices as a plain list."""

    def __init__(self) -> None:
        self.policies = Policies()
        self.table = Table()
        self.devices: dict[str, Device] = {}
        self.last = 0

    def change(self, put: Sequence[Device] = (), removed: Sequence[str] = ()) -> None:
        plan = self.policies.plan(put, removed)
        self.table.carry_out(plan)
        self.policies.adopt(plan)
        for name in removed:
            self.devices.pop(name, None)
        self.devices |= {each.name: each for each in put}
        numbers = [one.number for one in plan.begun]
        assert all(number > self.last for number in numbers), "a number that another policy had"
        self.last = max([self.last, *numbers])
        self.check()

    def check(self) -> None:
        assert self.table.followed() == {
            each: device.allowed for device in self.devices.values() for each in device.addresses
        }
        counts = self.counts()
        assert Counter(self.table.chains.values()) == dict.fromkeys(counts, 1), "a chain for each policy"
        assert len(self.table.sets) <= policies.COMMON

    def counts(self) -> Counter[Allowed]:
        return Counter(device.allowed for device in self.devices.values())

    def with_sets(self) -> set[Allowed]:
        return {self.table.chains[number] for number in self.table.sets}


NAMES = some.integers(1, 9)
DEVICES = some.builds(
    lambda number, allowed, addresses: device(number, allowed, *addresses),
    NAMES,
    some.integers(1, 5),
    some.lists(some.integers(1, 14), max_size=2, unique=True),
)
CHANGES = some.tuples(some.lists(DEVICES, max_size=4), some.lists(NAMES.map("number-{}".format), max_size=2))


@given(some.lists(CHANGES, max_size=30))
def test_each_address_leads_to_its_devices_policy_whatever_changes(
    changes: list[tuple[list[Device], list[str]]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policies, "COMMON", 2)
        patch.setattr(policies, "MANY", 3)
        gateway = Gateway()
        for put, removed in changes:
            after = {name: one for name, one in gateway.devices.items() if name not in removed}
            after |= {one.name: one for one in put}
            held = Counter(each for one in after.values() for each in one.addresses)
            if held and max(held.values()) > 1:
                with pytest.raises(SharedAddressError):
                    gateway.policies.plan(put, removed)
                gateway.change()
                assert not gateway.table.elements
                continue
            gateway.change(put, removed)
            # Whoever grew without having sets is not worth it, or had to be twice as many.
            counts, having = gateway.counts(), gateway.with_sets()
            for grown in {after[one.name].allowed for one in put} - having:
                rarest = min(counts[each] for each in having)
                assert len(having) == 2 or counts[grown] < 3
                assert counts[grown] < max(3, 2 * rarest)


def test_policies_have_sets_from_their_first_device_on_while_there_is_room() -> None:
    gateway = Gateway()
    for number in range(1, COMMON + 3):
        gateway.change([device(number, number)])
    assert gateway.with_sets() == {policy(number) for number in range(1, COMMON + 1)}
    # The room that one leaves is for the next that begins; who is in the map stays there.
    gateway.change(removed=["number-3"])
    gateway.change([device(COMMON + 1, COMMON + 1)])
    assert len(gateway.with_sets()) == COMMON - 1
    gateway.change([device(100, 100)])
    assert policy(100) in gateway.with_sets()


def test_of_many_policies_at_once_the_most_common_have_sets_and_are_looked_at_in_that_order() -> None:
    gateway = Gateway()
    counts = {number: 1 + number % 40 for number in range(1, 40)}
    numbers = iter(range(1, 10_000))
    gateway.change([device(next(numbers), each) for each, count in counts.items() for _ in range(count)])
    found = [gateway.counts()[gateway.table.chains[number]] for number in gateway.table.order]
    assert found == list(range(40, 40 - COMMON, -1))


@pytest.mark.parametrize("among", [10, 5000])
def test_a_device_moves_two_elements_an_address_however_many_others_there_are(among: int) -> None:
    gateway = Gateway()
    gateway.change([device(number, number % 4) for number in range(1, among)])
    gateway.change([device(among, 1)])
    assert gateway.table.elements == 1
    gateway.change([device(among, 2)])
    assert gateway.table.elements == 2
    gateway.change([device(among, 2)])
    assert gateway.table.elements == 0
    gateway.change([], [f"number-{among}"])
    assert gateway.table.elements == 1


def test_a_policy_that_becomes_common_takes_the_sets_of_the_rarest_and_does_not_give_them_back() -> None:
    gateway = Gateway()
    numbers = iter(range(1, 10_000))
    gateway.change([device(next(numbers), each) for each in range(COMMON) for _ in range(10 + each)])
    for count in range(1, MANY):
        gateway.change([device(next(numbers), 99)])
        assert gateway.table.elements == 1, count
    gateway.change([device(next(numbers), 99)])
    assert gateway.table.elements == 1 + 2 * (MANY - 1) + 2 * 10
    assert gateway.with_sets() == {policy(each) for each in (*range(1, COMMON), 99)}
    # To come back the other needs to be twice as many as the rarest, which is another one now.
    for _ in range(11):
        gateway.change([device(next(numbers), 0)])
        assert gateway.table.elements == 1


def test_an_address_passes_from_a_device_to_another_in_one_change_also_with_the_same_policy() -> None:
    gateway = Gateway()
    gateway.change([device(1, 1, 1, 2), device(2, 1, 3), device(3, 2, 4)])
    gateway.change([device(1, 1, 3, 2), device(2, 1, 1)])
    assert gateway.table.elements == 0, "the set has them all"
    gateway.change([device(4, 2, 3)], ["number-1"])
    assert set(gateway.devices) == {"number-2", "number-3", "number-4"}


def test_what_moves_is_bounded_by_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "COMMON", 2)
    monkeypatch.setattr(policies, "MANY", 3)
    chance = random.Random(7)
    gateway, moved, changes = Gateway(), 0, 2000
    # Most devices go to one of five policies for some time, so that each becomes common and rare by turns; in
    # between all are about as common.
    for number in range(changes):
        favourite, is_one = number // 40 % 5, number // 400 % 2 and chance.random() < 0.7
        name = chance.randint(1, 200)
        if chance.random() < 0.3:
            gateway.change([], [f"number-{name}"])
        else:
            gateway.change([device(name, favourite if is_one else chance.randint(0, 4))])
        moved += gateway.table.elements
    assert moved < 4 * changes, moved
