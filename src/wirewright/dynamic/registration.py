"""A client takes another key: ``register_key``, which upstream drafted and never wrote.

    (none) --register_key, by the old key--> pending --a request from the new key's address--> done
                                               '--time, or another registration--> (none)

The old key vouches for the new one. That somebody has the new one is proven by WireGuard itself: the new
peer's only allowed IP is the link-local address that follows from its key, and the first request from there
can come from nobody else. Only then does everything that the old peer had, leases and administered
prefixes, become the new one's, in one change, and the old peer is removed; so do what is held back of it and
how often it may ask, lest many keys be more than one. It stays so: a key that was replaced is replaced
again if it comes back from a configuration file, if it is one of the newest ``MAX_CHAIN``.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from wirewright.dynamic.answers import Registered
from wirewright.dynamic.identity import is_identity, link_local
from wirewright.dynamic.messages import Code, RequestError
from wirewright.dynamic.records import Change, Succession

if TYPE_CHECKING:
    from wirewright.config.values import IPNetwork
    from wirewright.dynamic.occupied import View
    from wirewright.dynamic.records import Records
    from wirewright.dynamic.service import LeaseService
    from wirewright.keys import PublicKey

PENDING_TIME: Final = 24 * 3600
"""Seconds in which a client must come with its new key. It may have put away the old one already."""
MAX_SUCCESSIONS: Final = 16_384
MAX_CHAIN: Final = 8
"""Keys of before that are remembered of a client, the newest: a configuration file has one of these."""


async def register(service: LeaseService, view: View, old: PublicKey, new: PublicKey) -> Registered:
    """Take a new key for a client, as pending. Raises RequestError and OSError."""
    records = service.table.records
    place = link_local(new)
    network = ip_network(place)
    before = records.successions.get(old)
    is_repeated = before is not None and before.new == new and before.until is not None
    if not is_repeated:
        known = new in view.peers or new == view.public_key
        if known or new.is_low_order or new in records.successions or _by_new(records, new):
            raise RequestError("this key cannot be taken: it is known already, or no key at all")
        if any(network in allowed for allowed in view.peers.values()):
            raise RequestError("this key cannot be taken: its link-local address is another's")
        if len(records.successions) >= MAX_SUCCESSIONS:
            raise RequestError("the server has no room for another key", Code.UNAVAILABLE)
    pending = _by_new(records, old)
    if pending is not None and pending.until is not None:
        raise RequestError("this key is not in use yet: ask for an address first")
    until = service.clock.wall() + PENDING_TIME
    await service.commit(Change(successions=(Succession(old, new, until),)))
    if before is not None and before.until is not None and before.new != new:
        await _take_back(service, view, before.new)
    await service.peers.add_like(old, new, (network,))
    return Registered(place)


async def promote(service: LeaseService, view: View, key: PublicKey) -> bool:
    """Put a key that has proven itself in the place of the old one; False if there is nothing to do."""
    records = service.table.records
    mine = [each for each in records.successions.values() if each.new == key]
    succession = next((each for each in mine if each.until is not None or each.old in view.peers), None)
    if succession is None:
        return False
    if succession.until is not None:
        # In the order in which they came: each is remembered from its registration on.
        chain = [each.old for each in records.successions.values() if each.new == succession.old]
        chain.append(succession.old)
        done = tuple(Succession(old, key) for old in chain[-MAX_CHAIN:])
        moved = service.table.inheritance(succession.old, key)
        forgotten = tuple(chain[:-MAX_CHAIN])
        await service.commit(replace(moved, successions=done, forgotten=forgotten))
        service.move_buckets(succession.old, key)
    if succession.old in view.peers:
        await service.peers.succeed(succession.old, key, _networks(view, succession))
    return True


async def resume(service: LeaseService, view: View) -> None:
    """Replace keys again that were replaced, and that are back with the interface."""
    for each in list(service.table.records.successions.values()):
        if each.old not in view.peers:
            continue
        if each.until is None:
            await service.peers.succeed(each.old, each.new, _networks(view, each))
        elif each.new not in view.peers:
            await service.peers.add_like(each.old, each.new, (ip_network(link_local(each.new)),))


async def expire(service: LeaseService, now: int) -> None:
    """Forget keys that did not come in time."""
    late = [each for each in service.table.records.successions.values() if (each.until or now + 1) <= now]
    if not late:
        return
    view = await service.peers.view()
    for each in late:
        await _take_back(service, view, each.new)
    await service.commit(Change(forgotten=tuple(each.old for each in late)))


def deadline(records: Records) -> int | None:
    """Tell when the right of the next pending key ends."""
    return min((each.until for each in records.successions.values() if each.until is not None), default=None)


async def _take_back(service: LeaseService, view: View, new: PublicKey) -> None:
    """Remove the peer of a key that was pending, unless an administrator has given it something since.

    Whoever registers a key need not have it: it may be one that an administrator adds later.
    """
    lease = service.table.lease(new)
    identity = ip_network(link_local(new))
    given = {identity, *map(ip_network, lease.addresses if lease else ())}
    allowed = view.peers.get(new, frozenset())
    if identity in allowed and allowed <= given:
        await service.peers.remove(new)


def _by_new(records: Records, new: PublicKey) -> Succession | None:
    return next((each for each in records.successions.values() if each.new == new), None)


def _networks(view: View, succession: Succession) -> list[IPNetwork]:
    """Give what the new peer is to have: all that the old one has but its identity, and its own."""
    kept = [network for network in view.peers[succession.old] if not is_identity(network)]
    return [*kept, ip_network(link_local(succession.new))]
