"""What the server stands on, made of dictionaries: an interface, a store, clocks that are set by hand."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from random import Random
from typing import TYPE_CHECKING

from wirewright.dynamic import Change, LeaseService, Records, Settings, Terms, View, link_local
from wirewright.keys import PublicKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wirewright.config.values import IPAddress, IPNetwork
    from wirewright.dynamic.lines import Message
    from wirewright.dynamic.messages import Request

POOLS = ("10.7.0.0/24", "fd07::/120")


def key(number: int) -> PublicKey:
    """A public key that nobody has the other half of."""
    return PublicKey.from_hex(f"{number + 1:064x}")


def at(number: int) -> IPv6Address:
    """Where the client with that key speaks from."""
    return link_local(key(number))


def networks(*texts: str) -> tuple[IPNetwork, ...]:
    return tuple(ip_network(text) for text in texts)


@dataclass
class Clock:
    now: float = 1_000_000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> int:
        return int(self.now)


@dataclass
class FakePeers:
    """An interface. Allowed IPs move as WireGuard has it: each belongs to one peer."""

    pools: tuple[IPNetwork, ...] = networks(*POOLS)
    own: frozenset[IPAddress] = frozenset({ip_address("10.7.0.1")})
    peers: dict[PublicKey, set[IPNetwork]] = field(default_factory=dict)
    preshared: dict[PublicKey, str] = field(default_factory=dict)
    broken: bool = False
    """Whether it can be told nothing."""
    leased: frozenset[IPAddress] = frozenset()
    """Allowed IPs that others say are leases."""
    views: int = 0
    """How often it was looked at."""

    def add(self, number: int, *allowed: str) -> None:
        self.peers[key(number)] = {ip_network(at(number)), *networks(*allowed)}

    def allowed(self, number: int) -> set[str]:
        """What a peer has, but for its identity."""
        return {str(each) for each in self.peers[key(number)] if each != ip_network(at(number))}

    async def view(self) -> View:
        self.views += 1
        peers = {each: frozenset(allowed) for each, allowed in self.peers.items()}
        return View(peers, self.own, self.pools, key(9999), self.leased)

    async def change(
        self, key: PublicKey, added: Sequence[IPNetwork] = (), removed: Sequence[IPNetwork] = ()
    ) -> None:
        self._check()
        if key in self.peers:
            for allowed in self.peers.values():
                allowed.difference_update(added)
            self.peers[key] |= set(added)
            self.peers[key] -= set(removed)

    async def add_like(self, old: PublicKey, new: PublicKey, networks: Sequence[IPNetwork]) -> None:
        self._check()
        self.peers.setdefault(new, set())
        self.preshared[new] = self.preshared.get(old, "")
        await self.change(new, networks)

    async def succeed(self, old: PublicKey, new: PublicKey, networks: Sequence[IPNetwork]) -> None:
        await self.add_like(old, new, networks)
        self.peers.pop(old, None)

    async def remove(self, key: PublicKey) -> None:
        self._check()
        self.peers.pop(key, None)

    def _check(self) -> None:
        if self.broken:
            raise OSError(5, "the interface is broken")


@dataclass
class FakeStore:
    """A store that keeps what was committed, and can be full."""

    records: Records = field(default_factory=Records)
    full: bool = False
    taken: set[IPAddress] = field(default_factory=set)
    """Addresses that others have taken in the same store."""
    unsure: bool = False
    """Whether it keeps what it is told, and says that it does not know."""
    commits: int = 0

    async def load(self) -> Records:
        return self.records.copy()

    async def commit(self, change: Change) -> None:
        from wirewright.dynamic import AddressTakenError, StoreError
        from wirewright.dynamic.records import UnsureError

        await asyncio.sleep(0)
        if self.full:
            raise StoreError(28, "No space left on device", "leases")
        clash = tuple(a for lease in change.leases for a in lease.addresses if a in self.taken)
        if clash:
            raise AddressTakenError(clash)
        self.commits += 1
        self.records.apply(change)
        if self.unsure:
            raise UnsureError(110, "no answer")


@dataclass
class World:
    """A service, and what it stands on."""

    terms: Terms = field(default_factory=Terms)
    registration: bool = False
    routes: tuple[IPNetwork, ...] = ()
    peers: FakePeers = field(default_factory=FakePeers)
    store: FakeStore = field(default_factory=FakeStore)
    clock: Clock = field(default_factory=Clock)
    seed: int = 1

    def __post_init__(self) -> None:
        self.service = self._service()

    def _service(self) -> LeaseService:
        settings = Settings(self.terms, lambda _: self.routes, self.registration)
        return LeaseService(
            self.peers, self.store, self.clock, settings, random_below=Random(self.seed).randrange
        )

    async def restart(self) -> None:
        """Begin anew with what the store has, as after a crash."""
        self.service = self._service()
        await self.service.start()

    async def ask(self, number: int, request: Request) -> dict[str, str]:
        """Ask as a client; return the answer's lines."""
        return dict(await self.say(number, request))

    async def say(self, number: int, request: Request) -> Message:
        return await self.service.answer(at(number), key(number), request)

    async def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        await self.service.expire()
