"""Which devices share a policy, and how its chain is found: what a change of devices moves, without nftables.

A policy is a tuple of rules; devices with the same rules have the same one. Two ways lead to it:

- *Sets* of its devices' addresses, which are looked at one after the other. To put an address into one costs
  the same whatever else there is, but each costs every packet something: :data:`COMMON` policies have them.
- The *maps* from addresses to chains, which all other policies share. However many there are, a packet pays
  once; but the kernel looks through the whole map whenever something comes to it.

While there is room a policy has sets from its first device on, so that nothing moves. Later one with
:data:`MANY` devices takes the place of the rarest that has sets, if it has twice as many: whoever changes
places has grown, or the other shrunk, by about as many devices as move then, and no policy goes to and fro.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from wirewright.config.values import IPAddress
    from wirewright.host.filtering import AllowRule

    Allowed: TypeAlias = tuple[AllowRule, ...]

COMMON: Final = 16
"""Policies with sets."""
MANY: Final = 32
"""Devices of a policy that is worth moving."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device, as the firewall knows it."""

    name: str
    """Any that no other has."""
    addresses: tuple[IPAddress, ...]
    allowed: Allowed = ()


class SharedAddressError(ValueError):
    """Two devices would have one address."""

    def __init__(self, address: IPAddress) -> None:
        super().__init__(f"two devices have one address ({address})")


class Place(NamedTuple):
    """Where addresses stand that lead to a policy."""

    number: int
    """The policy's."""
    has_sets: bool


@dataclass(eq=False, slots=True)
class Policy:
    """What devices share."""

    number: int
    """That no other policy had before."""
    allowed: Allowed
    devices: dict[str, tuple[IPAddress, ...]] = field(default_factory=dict)
    """Their addresses, by name."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a change does, in an order in which it can be done."""

    left: tuple[tuple[Place, IPAddress], ...]
    """Addresses that go, but for those that go with a set."""
    begun: tuple[Policy, ...]
    had_sets: tuple[Policy, ...]
    have_sets: tuple[Policy, ...]
    """Those that have sets, in the order in which they are to be looked at: before, and from now on."""
    ended: tuple[Policy, ...]
    entered: tuple[tuple[Place, IPAddress], ...]
    """Addresses that come."""
    removed: tuple[str, ...]
    """Names of devices that go, or come anew."""
    put: tuple[tuple[Device, Policy], ...]
    handed_over: tuple[IPAddress, ...]
    """Addresses that come to a device which did not have them."""


class Policies:
    """The devices that there are, and their policies."""

    def __init__(self) -> None:
        self._policies: dict[Allowed, Policy] = {}
        self._have_sets: tuple[Policy, ...] = ()
        self._followed: dict[str, Policy] = {}
        """The policies of devices, by name."""
        self._owners: dict[IPAddress, str] = {}
        self._last = 0

    def plan(self, put: Iterable[Device] = (), removed: Iterable[str] = ()) -> Plan:
        """Say what it takes to put devices, in the place of those with the same names, and remove others.

        Nothing is changed by that. Raises SharedAddressError.
        """
        fresh = {device.name: device for device in put}
        gone = tuple(name for name in dict.fromkeys([*removed, *fresh]) if name in self._followed)
        self._check(fresh.values(), gone)
        joined = self._by_policy(fresh.values())
        touched = dict.fromkeys([*joined, *(self._followed[name] for name in gone)])
        counts = {policy: len(policy.devices) + len(joined.get(policy, ())) for policy in touched}
        for name in gone:
            counts[self._followed[name]] -= 1
        have_sets = self._settled(joined, counts)

        def before(policy: Policy) -> Place:
            return Place(policy.number, policy in self._have_sets)

        def after(policy: Policy) -> Place:
            return Place(policy.number, policy in have_sets)

        put_now = tuple((device, policy) for policy, devices in joined.items() for device in devices)
        was = [(before(self._followed[name]), address) for name in gone for address in self._addresses(name)]
        now = [(after(policy), address) for device, policy in put_now for address in device.addresses]
        for policy in dict.fromkeys([*touched, *self._have_sets, *have_sets]):
            if before(policy) != after(policy):
                staying = [policy.devices[name] for name in policy.devices.keys() - gone]
                was += [(before(policy), address) for addresses in staying for address in addresses]
                now += [(after(policy), address) for addresses in staying for address in addresses]
        lost = {before(policy) for policy in self._have_sets if policy not in have_sets}
        same = set(was) & set(now)
        return Plan(
            left=tuple(each for each in dict.fromkeys(was) if each not in same and each[0] not in lost),
            begun=tuple(policy for policy in joined if not policy.devices),
            had_sets=self._have_sets,
            have_sets=have_sets,
            ended=tuple(policy for policy, count in counts.items() if not count),
            entered=tuple(each for each in dict.fromkeys(now) if each not in same),
            removed=gone,
            put=put_now,
            handed_over=tuple(
                address
                for device in fresh.values()
                for address in device.addresses
                if device.name not in self._followed or address not in self._addresses(device.name)
            ),
        )

    def adopt(self, plan: Plan) -> None:
        """Take for done what was planned last."""
        for name in plan.removed:
            policy = self._followed.pop(name)
            for address in policy.devices.pop(name):
                self._owners.pop(address, None)
        for policy in plan.ended:
            del self._policies[policy.allowed]
        for policy in plan.begun:
            self._policies[policy.allowed] = policy
            self._last = max(self._last, policy.number)
        for device, policy in plan.put:
            self._followed[device.name] = policy
            policy.devices[device.name] = device.addresses
            self._owners |= dict.fromkeys(device.addresses, device.name)
        self._have_sets = plan.have_sets

    def _check(self, fresh: Collection[Device], gone: Iterable[str]) -> None:
        """See that each address is that of one device."""
        freed = {address for name in gone for address in self._addresses(name)}
        owners: dict[IPAddress, str] = {}
        for device in fresh:
            for address in device.addresses:
                is_taken = address in self._owners and address not in freed
                if is_taken or owners.setdefault(address, device.name) != device.name:
                    raise SharedAddressError(address)

    def _by_policy(self, devices: Iterable[Device]) -> dict[Policy, list[Device]]:
        """Give devices by their policies, of which some may be new."""
        found: dict[Allowed, list[Device]] = {}
        for device in devices:
            found.setdefault(device.allowed, []).append(device)
        last = self._last
        joined = {}
        for allowed, those in found.items():
            policy = self._policies.get(allowed)
            if policy is None:
                policy = Policy(last := last + 1, allowed)
            joined[policy] = those
        return joined

    def _settled(self, grown: Iterable[Policy], counts: Mapping[Policy, int]) -> tuple[Policy, ...]:
        """Say which policies have sets, where some have grown and some have other numbers of devices."""

        def count(policy: Policy) -> int:
            return counts.get(policy, len(policy.devices))

        found = [policy for policy in self._have_sets if count(policy)]
        for policy in sorted(grown, key=count, reverse=True):
            if policy in found:
                continue
            is_new, many = not policy.devices, count(policy) >= MANY
            if len(found) < COMMON and (is_new or many):
                found.append(policy)
            elif many and count(policy) >= 2 * count(rarest := min(found, key=count)):
                found[found.index(rarest)] = policy
        return tuple(found)

    def _addresses(self, name: str) -> tuple[IPAddress, ...]:
        return self._followed[name].devices[name]
