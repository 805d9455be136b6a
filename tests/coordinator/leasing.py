"""A gateway's server of leases in these tests: its interface is a dictionary, the coordinator is ours."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import TYPE_CHECKING

import httpx2

from tests.dynamic.worlds import FakePeers, networks
from wirewright.coordinator import app
from wirewright.coordinator.leasing import StoredLedger
from wirewright.coordinator.services import changes, devices
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.services.devices import NewDevice
from wirewright.dynamic import LeaseService, Settings, Terms, link_local
from wirewright.dynamic.messages import RequestIp
from wirewright.gateway.lease_store import ApiLedger, LedgerStore
from wirewright.keys import PublicKey, SecretKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wirewright.coordinator.storage import Storage
    from wirewright.gateway.instructions import Device
    from wirewright.gateway.lease_store import Ledger

    from .actors import Actors, Clock

POOLS = ("10.88.0.0/16", "fd88::/64")


@dataclass
class Wall:
    """The clock of a gateway, which is wrong by some seconds, and stands still as that of the tests does."""

    clock: Clock
    wrong: int = 0

    def monotonic(self) -> float:
        return self.clock.now / 1_000_000

    def wall(self) -> int:
        return self.clock.now // 1_000_000 + self.wrong


@dataclass
class Site:
    """A gateway with a server of leases, in process or over the API."""

    storage: Storage
    actors: Actors
    wall: Wall
    ledger: Ledger
    peers: FakePeers = field(default_factory=lambda: FakePeers(networks(*POOLS), frozenset()))
    settings: Settings = field(default_factory=lambda: Settings(Terms(), registration=True))

    def __post_init__(self) -> None:
        self.service = self.another()

    def another(self) -> LeaseService:
        """A server on the same interface that begins anew."""
        return LeaseService(self.peers, LedgerStore(self.ledger), self.wall, self.settings)

    async def client(self, name: str = "a device", **more: object) -> PublicKey:
        """A device that asks for its addresses itself, and is a peer."""
        key = SecretKey.generate().public_key
        new = NewDevice(name, str(key), self.actors.gateway, on_lease=not more.get("addresses"), **more)  # type: ignore[arg-type]
        await self.storage.write(devices.create, SYSTEM, new)
        self.know(key)
        return key

    def know(self, key: PublicKey) -> None:
        """Have a peer with nothing but its identity."""
        self.peers.peers[key] = {ip_network(link_local(key))}

    async def ask(
        self, key: PublicKey, request: RequestIp | None = None, service: LeaseService | None = None
    ) -> dict[str, str]:
        """Ask as a client, and return the answer's lines."""
        asked = request or RequestIp()
        return dict(await (service or self.service).answer(link_local(key), key, asked))

    async def told(self) -> dict[PublicKey, Device]:
        """What the gateway is told of its devices."""
        state = await self.storage.read(changes.state, self.actors.gateway)
        return {device.public_key: device for device in state.devices}


@asynccontextmanager
async def api_ledger(storage: Storage, actors: Actors, wall: Wall) -> AsyncIterator[ApiLedger]:
    """A ledger over the API, without a socket."""
    transport = httpx2.ASGITransport(app.create(storage))
    headers = {"Authorization": f"Bearer {actors.credential}"}

    @asynccontextmanager
    async def client() -> AsyncIterator[httpx2.AsyncClient]:
        yield shared

    async with httpx2.AsyncClient(
        transport=transport, base_url="http://coordinator", headers=headers
    ) as shared:
        yield ApiLedger(client, wall.wall)


def stored_ledger(storage: Storage, actors: Actors, wall: Wall) -> StoredLedger:
    """A ledger in process."""
    return StoredLedger(storage, actors.gateway, wall.wall)
