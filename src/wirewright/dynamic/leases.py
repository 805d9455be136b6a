"""Who gets which address, for how long: the rules of the server, with time as an argument.

An address is in one of four states. It is *free*; *leased* to one key; *quarantined*, after its lease
ended, so that nobody gets what its last holder may still use, or others still send to, but for that holder,
who gets it back; or *occupied*, which means that an administrator gave it to a peer or to the interface,
and no lease touches it.

    free --grant--> leased --expiry, release, exchange--> quarantined --time--> free
                       ^-------------- its last holder asks again ----'

Nothing here changes by asking: :meth:`LeaseTable.decide` says what would become true, and it does by
:meth:`LeaseTable.apply`, after it was stored. Sources: ``ip-request.md`` of wg-dynamic, and what its C code
does.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Container
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from wirewright.dynamic.messages import Dialect, RequestIp, Wish
from wirewright.dynamic.records import Change, Lease, Quarantine, Records

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from wirewright.config.values import IPAddress
    from wirewright.dynamic.messages import Wanted
    from wirewright.dynamic.occupied import Occupied
    from wirewright.dynamic.pools import RandomBelow
    from wirewright.keys import PublicKey

LEASE_TIME: Final = 3600
QUARANTINE: Final = 3600
MAX_LEASES: Final = 16_384
MAX_QUARANTINED: Final = 65_536
MAX_QUARANTINED_OF_A_CLIENT: Final = 4
"""Of a family. So a client that exchanges addresses for ever holds back no more than these."""
_U32_MAX: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Terms:
    """How long things last, in seconds, and how many there may be."""

    lease_time: int = LEASE_TIME
    quarantine: int = QUARANTINE
    """At least as long as a lease in any case."""
    max_leases: int = MAX_LEASES
    max_quarantined: int = MAX_QUARANTINED

    def __post_init__(self) -> None:
        if not 1 <= self.lease_time <= _U32_MAX:
            raise ValueError(f"a lease lasts from 1 to {_U32_MAX} seconds, not {self.lease_time}")
        if self.quarantine < 0:
            raise ValueError(f"quarantine lasts 0 seconds or more, not {self.quarantine}")


@dataclass(frozen=True, slots=True)
class Decision:
    """What a client gets, and what becomes true with it."""

    ipv4: IPv4Address | None
    ipv6: IPv6Address | None
    change: Change
    added: tuple[IPAddress, ...] = ()
    """Addresses that are leased to it now and were not."""
    removed: tuple[IPAddress, ...] = ()
    missed: bool = False
    """Whether it gets nothing of a family of which it wanted something."""
    full: bool = False
    """Whether there is no room for another lease."""

    @property
    def is_churn(self) -> bool:
        """Whether addresses come or go, rather than being kept for longer."""
        return bool(self.added or self.removed)


class LeaseTable:
    """All leases of an interface."""

    def __init__(self, records: Records, terms: Terms, now: int) -> None:
        """Begin with what was remembered.

        The clock may have been set since: no lease ends later than one that was granted now, and no
        quarantine is longer.
        """
        self.terms = terms
        self.records = records.copy()
        for key, lease in records.leases.items():
            if lease.start > now:
                moved = Lease(key, lease.ipv4, lease.ipv6, now, lease.duration)
                self.records.leases[key] = moved
        for address, each in records.quarantined.items():
            latest = now + self._quarantine(terms.lease_time)
            if each.until > latest:
                self.records.quarantined[address] = Quarantine(address, each.key, latest)
        # To whom each address is leased.
        self.holders: dict[IPAddress, PublicKey] = {
            a: lease.key for lease in self.records.leases.values() for a in lease.addresses
        }
        self._behind: defaultdict[PublicKey, set[IPAddress]] = defaultdict(set)
        for each in self.records.quarantined.values():
            self._behind[each.key].add(each.address)
        self._ends: list[tuple[int, PublicKey]] = []
        self._rebuild()

    def lease(self, key: PublicKey) -> Lease | None:
        """Give the lease of a client."""
        return self.records.leases.get(key)

    def decide(
        self,
        key: PublicKey,
        request: RequestIp,
        occupied: Occupied,
        now: int,
        *,
        random_below: RandomBelow,
        excluded: AbstractSet[IPAddress] = frozenset(),
    ) -> Decision:
        """Say what a request leads to. ``excluded`` are addresses that turned out not to be free."""
        held = self.lease(key)
        asking = _Asking(self, key, held, request.dialect, occupied, random_below, excluded)
        ipv4, ipv6 = asking.family(4, request.ipv4), asking.family(6, request.ipv6)
        missed = any(
            got is None and wanted is not Wish.NONE
            for got, wanted in ((ipv4, request.ipv4), (ipv6, request.ipv6))
        )
        leased = [
            each for each in (ipv4, ipv6) if each is not None and occupied.own(key, each.version) != each
        ]
        before = held.addresses if held else ()
        added = tuple(each for each in leased if each not in before)
        removed = tuple(each for each in before if each not in leased)
        is_new = bool(leased) and held is None
        if (is_new and len(self.records.leases) >= self.terms.max_leases) or (
            removed and len(self.records.quarantined) + len(removed) > self.terms.max_quarantined
        ):
            return Decision(None, None, Change(), missed=True, full=True)
        change = self._change(key, leased, held, added=added, removed=removed, now=now)
        return Decision(_v4(ipv4), _v6(ipv6), change, added, removed, missed)

    def expired(self, now: int) -> Change:
        """Say what ends now: leases, and quarantines."""
        ended: dict[PublicKey, None] = {}
        while self._ends and self._ends[0][0] <= now:
            _, key = heapq.heappop(self._ends)
            lease = self.lease(key)
            if lease is not None and lease.expires <= now:
                ended[key] = None
        # They are in the heap again until somebody applies the change: storing it may fail.
        for key in ended:
            heapq.heappush(self._ends, (self.records.leases[key].expires, key))
        freed = tuple(a for a, each in self.records.quarantined.items() if each.until <= now)
        return Change(ended=tuple(ended), quarantined=self._after(ended, now), freed=freed)

    def deadline(self) -> int | None:
        """Tell when the next lease ends."""
        while self._ends:
            expires, key = self._ends[0]
            lease = self.lease(key)
            if lease is not None and lease.expires == expires:
                return expires
            heapq.heappop(self._ends)
        return None

    def removal(self, key: PublicKey, now: int) -> Change:
        """Say what taking a client's lease away changes."""
        return Change(ended=(key,), quarantined=self._after([key], now)) if self.lease(key) else Change()

    def inheritance(self, old: PublicKey, new: PublicKey) -> Change:
        """Say what it changes that a client has another key now."""
        behind = [self.records.quarantined[address] for address in self._behind.get(old, ())]
        quarantined = tuple(Quarantine(each.address, new, each.until) for each in behind)
        lease = self.lease(old)
        if lease is None:
            return Change(quarantined=quarantined)
        moved = Lease(new, lease.ipv4, lease.ipv6, lease.start, lease.duration)
        return Change((moved,), (old,), quarantined)

    def apply(self, change: Change) -> None:
        """Make a change true."""
        for key in (*change.ended, *(lease.key for lease in change.leases)):
            lease = self.lease(key)
            for address in lease.addresses if lease else ():
                self.holders.pop(address, None)
        for address in change.freed:
            self._forget(address)
        for each in change.quarantined:
            self._forget(each.address)
            self._behind[each.key].add(each.address)
        self.records.apply(change)
        for lease in change.leases:
            self.holders.update(dict.fromkeys(lease.addresses, lease.key))
            heapq.heappush(self._ends, (lease.expires, lease.key))
        if len(self._ends) > 2 * len(self.records.leases) + 64:
            self._rebuild()

    def left_behind(self, key: PublicKey, version: int) -> list[IPAddress]:
        """Give the quarantined addresses that a client had last."""
        return sorted((a for a in self._behind.get(key, ()) if a.version == version), key=int)

    def _change(
        self,
        key: PublicKey,
        leased: list[IPAddress],
        held: Lease | None,
        *,
        added: tuple[IPAddress, ...],
        removed: tuple[IPAddress, ...],
        now: int,
    ) -> Change:
        back = tuple(each for each in added if each in self.records.quarantined)
        duration = held.duration if held else self.terms.lease_time
        until = now + self._quarantine(duration)
        behind = tuple(Quarantine(each, key, until) for each in removed)
        if not leased:
            return Change(ended=(key,) if held else (), quarantined=behind, freed=back)
        ipv4, ipv6 = _v4(_of(leased, 4)), _v6(_of(leased, 6))
        lease = Lease(key, ipv4, ipv6, now, self.terms.lease_time)
        return Change((lease,), quarantined=behind, freed=back)

    def _after(self, ended: Iterable[PublicKey], now: int) -> tuple[Quarantine, ...]:
        leases = [self.records.leases[key] for key in ended]
        return tuple(
            Quarantine(each, lease.key, now + self._quarantine(lease.duration))
            for lease in leases
            for each in lease.addresses
        )

    def _quarantine(self, duration: int) -> int:
        return max(self.terms.quarantine, duration)

    def _forget(self, address: IPAddress) -> None:
        each = self.records.quarantined.get(address)
        if each is not None:
            self._behind[each.key].discard(address)
            if not self._behind[each.key]:
                del self._behind[each.key]

    def _rebuild(self) -> None:
        self._ends = [(lease.expires, lease.key) for lease in self.records.leases.values()]
        heapq.heapify(self._ends)


class _Taken(Container["IPAddress"]):
    """Single addresses that a client cannot get."""

    def __init__(self, *parts: Container[IPAddress]) -> None:
        self._parts = parts

    def __contains__(self, address: object) -> bool:
        return any(address in part for part in self._parts)


@dataclass(frozen=True, slots=True)
class _Asking:
    """One client's request, family by family."""

    table: LeaseTable
    key: PublicKey
    held: Lease | None
    dialect: Dialect
    occupied: Occupied
    random_below: RandomBelow
    excluded: AbstractSet[IPAddress]

    def family(self, version: int, wanted: Wanted) -> IPAddress | None:
        """Choose what the client gets of a family."""
        if wanted is Wish.NONE:
            return None
        own = self.occupied.own(self.key, version)
        if own is not None:
            # What an administrator gave it is its address, whatever it would like.
            return own if isinstance(wanted, Wish) or wanted == own or self._is_document else None
        held = self._held(version)
        if isinstance(wanted, Wish):
            chosen = held if wanted is Wish.ANY and held is not None else self._any(version, held)
            return chosen or held
        if wanted == held or self._is_free(wanted):
            return wanted
        if not self._is_document:
            return None
        return held or self._any(version, None)

    @property
    def _is_document(self) -> bool:
        return self.dialect is Dialect.DOCUMENT

    def _held(self, version: int) -> IPAddress | None:
        """Give what it has, if it may keep it: the pools, or what others have, may have changed."""
        address = self.held.address(version) if self.held else None
        usable = address is not None and address in self.occupied.pools and address not in self.occupied
        return address if usable and address not in self.excluded else None

    def _is_free(self, address: IPAddress) -> bool:
        quarantine = self.table.records.quarantined.get(address)
        mine = quarantine is not None and quarantine.key == self.key
        behind = len(self.table.left_behind(self.key, address.version))
        return (
            address in self.occupied.pools
            and address not in self.occupied
            and address not in self.excluded
            and address not in self.table.holders
            and (mine or (quarantine is None and behind < MAX_QUARANTINED_OF_A_CLIENT))
        )

    def _any(self, version: int, but: IPAddress | None) -> IPAddress | None:
        """Choose one: preferably one that the client had before, which nobody else may have now."""
        for address in self.table.left_behind(self.key, version):
            if address != but and self._is_free(address):
                return address
        if len(self.table.left_behind(self.key, version)) >= MAX_QUARANTINED_OF_A_CLIENT:
            return None
        parts = (self.table.holders, self.table.records.quarantined, self.occupied.addresses, self.excluded)
        taken, count = _Taken(*parts), sum(len(part) for part in parts)
        return self.occupied.pools.choose(version, taken, count, self.occupied.blocked, self.random_below)


def _of(addresses: list[IPAddress], version: int) -> IPAddress | None:
    return next((each for each in addresses if each.version == version), None)


def _v4(address: IPAddress | None) -> IPv4Address | None:
    return address if isinstance(address, IPv4Address) else None


def _v6(address: IPAddress | None) -> IPv6Address | None:
    return address if isinstance(address, IPv6Address) else None
