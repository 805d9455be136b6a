"""A server of leases beside a rootless gateway: it begins, comes back, and is asked whatever the policy."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_interface, ip_network
from typing import TYPE_CHECKING

import pytest

from tests.dynamic.worlds import FakeStore
from wirewright.config import Config, Endpoint, Interface, Peer
from wirewright.coordinator.clock import SECOND
from wirewright.coordinator.services import leases
from wirewright.dynamic import Settings, StoreError, Terms, link_local
from wirewright.dynamic.identity import PORT
from wirewright.gateway import leasing
from wirewright.gateway.engines.rootless import RootlessEngine
from wirewright.gateway.instructions import Device, GatewayState, Instruction, PutSettings
from wirewright.gateway.instructions import Settings as Told
from wirewright.gateway.leasing import Leases
from wirewright.gateway.policy import NOTHING
from wirewright.gateway.running import RunningGateway, running
from wirewright.keys import SecretKey
from wirewright.tunnel import Forwarding, Tunnel

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from wirewright.config.values import IPInterface
    from wirewright.dynamic import Records

pytestmark = pytest.mark.anyio

SETTINGS = Told((ip_interface("10.88.0.1/24"),), (ip_network("10.88.0.0/24"),))
REQUEST = b"request_ip=1\nipv6=\n\n"


@dataclass
class AwayStore(FakeStore):
    """A store that cannot be read at first."""

    away: bool = False
    reads: int = 0

    async def load(self) -> Records:
        self.reads += 1
        if self.away:
            raise StoreError(113, "the coordinator is away")
        return await super().load()


@dataclass
class Site:
    """A rootless gateway with one device, whose policy lets it start nothing."""

    store: AwayStore = field(default_factory=AwayStore)
    key: SecretKey = field(default_factory=SecretKey.generate)
    device: SecretKey = field(default_factory=SecretKey.generate)
    said: list[str] = field(default_factory=list)
    coming: asyncio.Queue[Instruction] = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        self.engine = RootlessEngine(self.tunnel)
        self.leases = Leases(self.store, Settings(Terms()), self.said.append)
        device = Device("one", self.device.public_key, (), NOTHING)
        self.coming.put_nowait(GatewayState(1, SETTINGS, (device,)))

    def tunnel(self, addresses: tuple[IPInterface, ...]) -> Tunnel:
        return Tunnel(
            Config(Interface(self.key, addresses)), listen_address="127.0.0.1", forwarding=Forwarding()
        )

    async def follow(self, after: int | None = None, log: str | None = None) -> AsyncGenerator[Instruction]:
        while True:
            yield await self.coming.get()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[RunningGateway]:
        async with running(self, self.engine, services=[self.leases], identities=True) as gateway:
            await gateway.ready()
            yield gateway

    async def serves(self, *, other_than: object = None) -> None:
        async with asyncio.timeout(60):
            while self.leases.server in {None, other_than}:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Tunnel]:
        assert self.engine.tunnel is not None
        endpoint = Endpoint("127.0.0.1", self.engine.tunnel.listen_port)
        server = Peer(self.key.public_key, allowed_ips=(ip_network("fe80::/128"),), endpoint=endpoint)
        address = ip_interface(f"{link_local(self.device.public_key)}/128")
        config = Config(Interface(self.device, addresses=(address,)), (server,))
        async with Tunnel(config, listen_address="127.0.0.1") as tunnel:
            yield tunnel

    async def ask(self, port: int = PORT) -> bytes:
        async with self.client() as tunnel, asyncio.timeout(60):
            reader, writer = await tunnel.open_connection("fe80::", PORT, local_port=port)
            writer.write(REQUEST)
            answer = await reader.readuntil(b"\n\n")
            writer.transport.abort()
            return answer

    def allowed(self) -> set[str]:
        assert self.engine.tunnel is not None
        [peer] = self.engine.tunnel.stats().peers
        return set(map(str, peer.allowed_ips))


async def test_a_device_that_may_start_nothing_else_has_its_lease() -> None:
    site = Site()
    async with site.running():
        await site.serves()
        answer = await site.ask()
        [lease] = site.store.records.leases.values()
        assert f"ipv4={lease.ipv4}/32".encode() in answer
        assert site.allowed() == {f"{link_local(site.device.public_key)}/128", f"{lease.ipv4}/32"}
    assert site.leases.server is None
    assert site.said == []


async def test_who_speaks_from_another_port_is_not_heard_in_a_tunnel_either() -> None:
    site = Site()
    async with site.running():
        await site.serves()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await site.ask(port=0)
        assert site.leases.server is not None
        assert site.leases.server.counters["refused_port"] == 1


async def test_a_gateway_is_one_without_its_coordinator_and_serves_leases_once_it_is_back() -> None:
    site = Site(AwayStore(away=True))
    async with site.running() as gateway:
        async with asyncio.timeout(60):
            while site.store.reads < 2:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)
        assert gateway.devices == 1
        assert site.leases.server is None
        site.store.away = False
        await site.serves()
        assert b"errno=0" in await site.ask()
    # Once, however often it was tried.
    assert site.said == ["leases are not served yet: the coordinator is away"]


async def test_a_tunnel_that_is_made_anew_is_served_again() -> None:
    site = Site()
    async with site.running():
        await site.serves()
        before, first = site.leases.server, site.engine.tunnel
        moved = Told((ip_interface("10.88.0.7/24"),), SETTINGS.pools)
        site.coming.put_nowait(PutSettings(2, moved))
        await site.serves(other_than=before)
        assert site.engine.tunnel is not first
        assert b"errno=0" in await site.ask()


async def test_addresses_come_from_the_pools_that_the_coordinator_names_now() -> None:
    site = Site()
    async with site.running() as gateway:
        await site.serves()
        other = Told(SETTINGS.addresses, (ip_network("10.99.0.0/24"),))
        site.coming.put_nowait(PutSettings(2, other))
        async with asyncio.timeout(60):
            while gateway.applied != 2:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)
        answer = await site.ask()
        assert b"ipv4=10.99.0." in answer


def test_longer_leases_than_a_coordinator_keeps_are_not_promised() -> None:
    assert leasing.LONGEST * SECOND == leases.LONGEST
    Leases(FakeStore(), Settings(Terms(lease_time=leasing.LONGEST)))
    with pytest.raises(ValueError, match="at most"):
        Leases(FakeStore(), Settings(Terms(lease_time=leasing.LONGEST + 1)))


async def test_what_goes_wrong_unexpectedly_is_told_and_tried_again() -> None:
    site = Site()
    load, site.store.load = site.store.load, broken  # type: ignore[method-assign]
    async with site.running():
        async with asyncio.timeout(60):
            while not site.said:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)
        site.store.load = load  # type: ignore[method-assign]
        await site.serves()
    assert site.said == ["leases are not served yet: unexpected RuntimeError: a mistake of ours"]


async def broken() -> Records:
    raise RuntimeError("a mistake of ours")
