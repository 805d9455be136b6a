"""What the engine of a gateway has, and how that is to differ: flat, without policies, revisions or expiry.

An :class:`EngineChange` is either *whole*, and then says all there shall be, or says what differs from what
the engine has. What follows of it for WireGuard and for the firewall is said here, too, so that both agree.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wirewright.gateway.firewall import Device as FirewallDevice
from wirewright.host.device import NO_KEY, DeviceChange, PeerChange

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from wirewright.config.values import IPAddress, IPInterface, IPNetwork
    from wirewright.host.filtering import AllowRule, PacketFilter
    from wirewright.keys import PresharedKey, PublicKey


@dataclass(frozen=True, slots=True)
class Member:
    """A device that has a place on the interface."""

    id: str
    public_key: PublicKey
    networks: tuple[IPNetwork, ...]
    """Its addresses, each as a network of one."""
    rules: tuple[AllowRule, ...] = ()
    preshared_key: PresharedKey | None = field(default=None, repr=False)

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """Its addresses."""
        return tuple(network.network_address for network in self.networks)


@dataclass(frozen=True, slots=True)
class Placement:
    """A member as it is to be, and as it was, if it was there."""

    after: Member
    before: Member | None = None


@dataclass(frozen=True, slots=True)
class EngineChange:
    """What an engine is to have from now on."""

    addresses: tuple[IPInterface, ...]
    """The gateway's own, each with its pool's prefix length. They differ only in a whole change."""
    filter: PacketFilter
    """What a packet filter must know. It differs only in a whole change."""
    put: tuple[Placement, ...] = ()
    removed: tuple[Member, ...] = ()
    whole: bool = False
    """Whether ``put`` is all there shall be, whatever was there."""


def without_key(change: EngineChange, key: PublicKey) -> EngineChange:
    """Leave out a device with the gateway's own key, which can be no peer of its own.

    One that takes this key is removed, and one that had it comes anew.
    """
    if all(key != member.public_key for member in _mentioned(change)):
        return change
    put = [
        replace(each, before=None) if each.before and each.before.public_key == key else each
        for each in change.put
        if each.after.public_key != key
    ]
    lost = [
        each.before
        for each in change.put
        if each.before and each.after.public_key == key and each.before.public_key != key
    ]
    removed = [*(member for member in change.removed if member.public_key != key), *lost]
    return replace(change, put=tuple(put), removed=tuple(removed))


def device_change(
    change: EngineChange, *, filtered: bool, present: Collection[PublicKey] = ()
) -> DeviceChange:
    """Say what is to differ of the peers; with their rules, if the engine is ``filtered``.

    A whole change needs to know which peers are ``present``: those that stay keep their sessions.
    """
    staying = {placement.after.public_key for placement in change.put}
    if change.whole:
        gone = [key for key in present if key not in staying]
    else:
        were = [*change.removed, *(each.before for each in change.put if each.before is not None)]
        gone = [member.public_key for member in were if member.public_key not in staying]
    inherited = set(present) if change.whole else {member.public_key for member in change.removed}
    inherited |= {
        each.before.public_key
        for each in change.put
        if each.before and each.before.public_key != each.after.public_key
    }
    puts = (_put(each, filtered=filtered, inherited=inherited) for each in change.put)
    peers = (*(PeerChange(key, remove=True) for key in dict.fromkeys(gone)), *filter(None, puts))
    return DeviceChange(filter=change.filter if filtered and change.whole else None, peers=peers)


def firewall_change(change: EngineChange) -> tuple[list[FirewallDevice], list[str]]:
    """Say which devices the firewall is to put, and the names of those that it is to remove."""
    put = [
        FirewallDevice(each.after.id, each.after.addresses, each.after.rules)
        for each in change.put
        if each.before is None or _differs_to_firewall(each.after, each.before)
    ]
    return put, [member.id for member in change.removed]


def _mentioned(change: EngineChange) -> Iterator[Member]:
    yield from change.removed
    for each in change.put:
        yield each.after
        if each.before:
            yield each.before


def _differs_to_firewall(after: Member, before: Member) -> bool:
    return (after.networks, after.rules) != (before.networks, before.rules)


def _put(placement: Placement, *, filtered: bool, inherited: Collection[PublicKey]) -> PeerChange | None:
    """Say what is to differ of one peer; nothing, if that is so."""
    after, before = placement.after, placement.before
    rules = after.rules if filtered else None
    if before is None or after.public_key != before.public_key or after.public_key in inherited:
        # A peer that may be there already, as another device's, is told all.
        return PeerChange(
            after.public_key,
            preshared_key=after.preshared_key or NO_KEY,
            replace_allowed_ips=after.public_key in inherited,
            allowed_ips=after.networks,
            rules=rules,
        )
    lost = set(before.networks) - set(after.networks)
    told = PeerChange(
        after.public_key,
        preshared_key=None if after.preshared_key == before.preshared_key else after.preshared_key or NO_KEY,
        # All at once rather than one by one: not every kernel can take a single one away.
        replace_allowed_ips=bool(lost),
        allowed_ips=after.networks
        if lost
        else tuple(network for network in after.networks if network not in before.networks),
        rules=None if after.rules == before.rules else rules,
    )
    return None if told == PeerChange(after.public_key) else told
