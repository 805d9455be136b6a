"""The server between its parts: who asks, what the rules say, what is stored, and what the interface is told.

One request is worked on at a time, each with a fresh view of the interface, so that what administrators
changed meanwhile holds. What becomes true is stored first and applied to the interface then, and the answer
comes last. What ends leaves the interface before the store. So a crash at any point leaves an interface
that has no more than the store says; the next start gives the rest.

Where the store is far away it may be unknown whether it kept a change, or others may have changed it. Then
nothing is decided until it was read again; who asks meanwhile is told that it cannot be done now.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING, Final, Protocol

from wirewright.dynamic import churn, registration
from wirewright.dynamic.answers import Grant, write_grant, write_registered
from wirewright.dynamic.identity import LINK
from wirewright.dynamic.leases import LeaseTable, Terms
from wirewright.dynamic.messages import (
    EXTENSIONS,
    REGISTER_KEY,
    ROUTES,
    Code,
    Dialect,
    RegisterKey,
    RequestError,
    RequestIp,
    refusal,
)
from wirewright.dynamic.occupied import occupied
from wirewright.dynamic.records import AddressTakenError, Change, Lease, UnsureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from wirewright.config.values import IPAddress, IPNetwork
    from wirewright.dynamic.leases import Decision
    from wirewright.dynamic.lines import Message
    from wirewright.dynamic.messages import Request
    from wirewright.dynamic.occupied import View
    from wirewright.dynamic.pools import RandomBelow
    from wirewright.dynamic.records import LeaseStore
    from wirewright.keys import PublicKey

MAX_TRIES: Final = 8
"""Of finding an address that others who write to the same store have not got meanwhile."""


class Clock(Protocol):
    """Both clocks go on while the machine sleeps."""

    def monotonic(self) -> float:
        """Seconds since some moment."""
        ...

    def wall(self) -> int:
        """Seconds since 1970, from the clock at the start on: it does not jump when that is set."""
        ...


class Peers(Protocol):
    """The interface, as the server needs it. All methods raise OSError."""

    async def view(self) -> View:
        """Tell how it is now."""
        ...

    async def change(
        self, key: PublicKey, added: Sequence[IPNetwork] = (), removed: Sequence[IPNetwork] = ()
    ) -> None:
        """Give a peer allowed IPs, and take some away; others stay. Nothing if it is not there."""
        ...

    async def add_like(self, old: PublicKey, new: PublicKey, networks: Sequence[IPNetwork]) -> None:
        """Add a peer with the preshared key of another, and these allowed IPs."""
        ...

    async def succeed(self, old: PublicKey, new: PublicKey, networks: Sequence[IPNetwork]) -> None:
        """Remove a peer and give another these allowed IPs, in one change; the other is made if need be."""
        ...

    async def remove(self, key: PublicKey) -> None:
        """Remove a peer."""
        ...


@dataclass(frozen=True, slots=True)
class Settings:
    """What an administrator may choose."""

    terms: Terms = field(default_factory=Terms)
    routes: Callable[[PublicKey], tuple[IPNetwork, ...]] = lambda _: ()
    """Networks that a client is to send into the tunnel, if it asks for such."""
    registration: bool = False
    """Whether a client may take another key for itself."""
    requests: churn.Rate = churn.REQUESTS
    changes: churn.Rate = churn.CHANGES


class LeaseService:
    """All that a server does but for its connections."""

    def __init__(
        self,
        peers: Peers,
        store: LeaseStore,
        clock: Clock,
        settings: Settings | None = None,
        *,
        random_below: RandomBelow = secrets.randbelow,
    ) -> None:
        self.peers = peers
        self.store = store
        self.clock = clock
        self.settings = settings or Settings()
        self.counters: Counter[str] = Counter()
        """What was granted, renewed, released and refused, by cause."""
        self._random_below = random_below
        self._requests = churn.Buckets(self.settings.requests)
        self._changes = churn.Buckets(self.settings.changes)
        self._lock = asyncio.Lock()
        self._table: LeaseTable | None = None
        self._unsure = False

    @property
    def table(self) -> LeaseTable:
        """All leases; there from ``start`` on."""
        if self._table is None:
            raise RuntimeError("the service was not started")
        return self._table

    async def start(self) -> None:
        """Read the store, and have the interface say what it says. Raises StoreError or OSError."""
        async with self._lock:
            await self._read()

    async def identify(self, address: IPv6Address) -> PublicKey | None:
        """Tell whose a link-local address is."""
        return _owner(await self.peers.view(), address)

    async def answer(self, address: IPv6Address, key: PublicKey, request: Request | RequestError) -> Message:
        """Answer a request that came from an address, which belonged to a client when its connection began.

        Raises RequestError where the connection is to end with ``refusal`` of it.
        """
        if isinstance(request, RequestError):
            self.counters["malformed"] += 1
            raise request
        dialect = request.dialect if isinstance(request, RequestIp) else Dialect.PROGRAM
        try:
            async with self._lock:
                return await self._answer(address, key, request)
        except RequestError as error:
            return refusal(RequestError(str(error), error.code, dialect))
        except OSError as error:
            self.counters["failed"] += 1
            text = f"the server cannot do it now: {error.strerror or error}"
            return refusal(RequestError(text, Code.INVALID, dialect))

    async def release(self, key: PublicKey) -> bool:
        """Take a client's lease away; False if it had none. Raises OSError."""
        async with self._lock:
            await self._be_sure()
            lease = self.table.lease(key)
            change = self.table.removal(key, self.clock.wall())
            await self._end([lease] if lease else [], change)
            return lease is not None

    async def expire(self) -> None:
        """End what has had its time. Raises OSError."""
        async with self._lock:
            try:
                await self._be_sure()
            except OSError:
                # What ends leaves the interface in any case.
                await self._withdraw(self._ended(self.table.expired(self.clock.wall())))
                raise
            await self._expire()

    def deadline(self) -> float | None:
        """Tell in how many seconds something ends, as far as is known now."""
        ends = [self.table.deadline(), registration.deadline(self.table.records)]
        known = [each for each in ends if each is not None]
        return max(0.0, float(min(known) - self.clock.wall())) if known else None

    async def commit(self, change: Change) -> None:
        """Store a change and make it true. Raises StoreError or AddressTakenError."""
        if not change:
            return
        # So it stays if this is cancelled.
        self._unsure = True
        try:
            await self.store.commit(change)
        except UnsureError:
            raise
        except Exception:
            self._unsure = False
            raise
        self._unsure = False
        self.table.apply(change)

    def move_buckets(self, old: PublicKey, new: PublicKey) -> None:
        """Let a client with another key do no more than it could with the old one."""
        now = self.clock.monotonic()
        for buckets in (self._requests, self._changes):
            buckets.move(old, new, now)

    # What is remembered, and whether it is what is kept.

    async def _read(self) -> None:
        records = await self.store.load()
        self._table = LeaseTable(records, self.settings.terms, self.clock.wall())
        self._unsure = False
        await self._expire()
        await registration.resume(self, await self.peers.view())
        view = await self.peers.view()
        taken = occupied(view, self.table.records.leases)
        for key, lease in self.table.records.leases.items():
            has = view.peers.get(key)
            free = [each for each in lease.addresses if each not in taken]
            missing = [] if has is None else [network for network in hosts(free) if network not in has]
            if missing:
                await self.peers.change(key, missing)

    async def _be_sure(self) -> None:
        """Read the store again if what is remembered may be wrong."""
        if self._unsure:
            self.counters["read_again"] += 1
            await self._read()

    # One request.

    async def _answer(self, address: IPv6Address, key: PublicKey, request: Request) -> Message:
        if not self._requests.take(key, self.clock.monotonic()):
            self.counters["too_often"] += 1
            raise RequestError("too many requests", Code.UNAVAILABLE)
        await self._be_sure()
        view = await self.peers.view()
        if _owner(view, address) != key:
            self.counters["unknown"] += 1
            raise RequestError("this address is not yours any more")
        if isinstance(request, RegisterKey):
            return await self._register(view, key, request)
        if await registration.promote(self, view, key):
            self.counters["keys_replaced"] += 1
            view = await self.peers.view()
        decision = await self._decide_and_store(view, key, request)
        return self._reply(key, request, decision)

    async def _register(self, view: View, key: PublicKey, request: RegisterKey) -> Message:
        if not self.settings.registration:
            self.counters["unsupported"] += 1
            raise RequestError("this server takes no new keys", Code.UNSUPPORTED)
        self._count_change(key)
        answer = await registration.register(self, view, key, request.key)
        self.counters["keys_registered"] += 1
        return write_registered(answer)

    async def _decide_and_store(self, view: View, key: PublicKey, request: RequestIp) -> Decision:
        excluded: set[IPAddress] = set()
        taken = occupied(view, self.table.records.leases)
        counted = False
        for _ in range(MAX_TRIES):
            now = self.clock.wall()
            decision = self.table.decide(
                key, request, taken, now, random_below=self._random_below, excluded=frozenset(excluded)
            )
            if decision.full:
                self.counters["full"] += 1
                raise RequestError("the server has no room for another lease", Code.UNAVAILABLE)
            if decision.is_churn and not counted:
                self._count_change(key)
                counted = True
            try:
                await self._carry_out(view, key, decision)
            except AddressTakenError as error:
                excluded |= set(error.addresses)
                continue
            self._count(decision)
            return decision
        raise RequestError("every address that was tried was taken meanwhile", Code.UNAVAILABLE)

    async def _carry_out(self, view: View, key: PublicKey, decision: Decision) -> None:
        has = view.peers.get(key, frozenset())
        removed = [network for network in hosts(decision.removed) if network in has]
        if removed:
            await self.peers.change(key, removed=removed)
        try:
            await self.commit(decision.change)
        except BaseException:
            if removed:
                await self.peers.change(key, removed)
            raise
        lease = self.table.lease(key)
        missing = [network for network in hosts(lease.addresses if lease else ()) if network not in has]
        if missing:
            await self.peers.change(key, missing)

    def _reply(self, key: PublicKey, request: RequestIp, decision: Decision) -> Message:
        now = self.clock.wall()
        missed = decision.missed and request.dialect is Dialect.PROGRAM
        named = request.extensions
        ours = EXTENSIONS if self.settings.registration else EXTENSIONS - {REGISTER_KEY}
        grant = Grant(
            decision.ipv4,
            decision.ipv6,
            now,
            self.settings.terms.lease_time,
            Code.UNAVAILABLE.value if missed else Code.SUCCESS.value,
            "no such address is free" if missed else "",
            self.settings.routes(key) if named and ROUTES in named else (),
            None if named is None else ours,
        )
        return write_grant(grant, request.dialect)

    def _count_change(self, key: PublicKey) -> None:
        now = self.clock.monotonic()
        if not self._changes.take(key, now):
            self.counters["too_many_changes"] += 1
            wait = int(self._changes.wait(key, now)) + 1
            raise RequestError(f"too many changes: ask again in {wait} s", Code.UNAVAILABLE)

    def _count(self, decision: Decision) -> None:
        self.counters["granted"] += len(decision.added)
        self.counters["released"] += len(decision.removed)
        self.counters["missed"] += decision.missed
        self.counters["renewed"] += bool(decision.change.leases) and not decision.is_churn

    # What ends.

    async def _expire(self) -> None:
        now = self.clock.wall()
        change = self.table.expired(now)
        ended = self._ended(change)
        await self._end(ended, change)
        self.counters["expired"] += len(ended)
        await registration.expire(self, now)

    def _ended(self, change: Change) -> list[Lease]:
        return [self.table.records.leases[key] for key in change.ended]

    async def _end(self, leases: list[Lease], change: Change) -> None:
        await self._withdraw(leases)
        await self.commit(change)

    async def _withdraw(self, leases: list[Lease]) -> None:
        """Take leases from the interface."""
        if not leases:
            return
        view = await self.peers.view()
        for lease in leases:
            has = view.peers.get(lease.key, frozenset())
            gone = [network for network in hosts(lease.addresses) if network in has]
            if gone:
                await self.peers.change(lease.key, removed=gone)


def hosts(addresses: Iterable[IPAddress]) -> list[IPNetwork]:
    """Give the networks of one address each."""
    return [ip_network(address) for address in addresses]


def _owner(view: View, address: IPv6Address) -> PublicKey | None:
    bare = IPv6Address(int(address))
    if bare not in LINK:
        return None
    network = IPv6Network(bare)
    return next((key for key, allowed in view.peers.items() if network in allowed), None)
