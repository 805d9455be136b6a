"""A gateway without root: what devices reach through it, in a network of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_interface, ip_network
from typing import Any

import pytest

from tests.lab.outside import HERE, fresh_network, serving
from wirewright import Forwarding, Tunnel
from wirewright.config import Config
from wirewright.config.model import Interface, Peer
from wirewright.config.values import Endpoint
from wirewright.gateway import engines
from wirewright.gateway.core import GatewayCore
from wirewright.gateway.instructions import Device, GatewayState, PutDevice, Settings
from wirewright.gateway.policy import DEFAULT_POLICY, NOTHING, Policy
from wirewright.keys import PublicKey, SecretKey
from wirewright.tunnel import Timeouts

pytestmark = pytest.mark.anyio
KEY = SecretKey.generate()
SETTINGS = Settings(
    (ip_interface("10.88.0.1/16"), ip_interface("fd88::1/64")),
    (ip_network("10.88.0.0/16"), ip_network("fd88::/64")),
)
TIMEOUTS = Timeouts(connect=2.0, linger=0.2)
NEIGHBOURS = Policy.from_json([{"destinations": ["10.88.0.0/16", f"{HERE}/32"]}])


@pytest.fixture(autouse=True)
def _network() -> Iterator[None]:
    with fresh_network():
        yield


@dataclass
class World:
    """A gateway's engine, what drives it, and a server of the host."""

    engine: engines.RootlessEngine
    host_port: int
    stack: AsyncExitStack
    core: GatewayCore = field(default_factory=GatewayCore)
    revision: int = 0

    async def put(self, number: int, key: PublicKey, policy: Policy = DEFAULT_POLICY, **more: Any) -> None:
        self.revision += 1
        device = Device(f"number-{number}", key, (ip_network(f"10.88.0.{number}/32"),), policy, **more)
        self.core.take(PutDevice(self.revision, device))
        await self.work()

    async def settle(self, settings: Settings) -> None:
        state = self.core.state()
        assert state is not None
        self.core.take(replace(state, settings=settings))
        await self.work()

    async def work(self) -> None:
        change = self.core.change(0)
        assert change is not None
        await self.engine.apply(change)

    async def client(self, number: int, **options: Any) -> tuple[Tunnel, PublicKey]:
        """Open the tunnel of a device."""
        assert self.engine.tunnel is not None
        key = SecretKey.generate()
        everything = tuple(ip_network(each) for each in ("0.0.0.0/0", "::/0"))
        gateway = Peer(
            KEY.public_key, None, everything, Endpoint("127.0.0.1", self.engine.tunnel.listen_port), 1
        )
        config = Config(Interface(key, (ip_interface(f"10.88.0.{number}/32"),)), (gateway,))
        tunnel = Tunnel(config, listen_address="127.0.0.1", timeouts=TIMEOUTS)
        await self.put(number, key.public_key, **options)
        await self.stack.enter_async_context(tunnel)
        return tunnel, key.public_key

    async def reaches(self, tunnel: Tunnel, address: str = HERE, port: int = 0) -> bool:
        """Whether a server echoes."""
        try:
            reader, writer = await tunnel.open_connection(address, port or self.host_port)
        except OSError:
            return False
        writer.write(b"word\n")
        said = await reader.readline()
        writer.close()
        return said == b"word\n"


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readline())
    writer.close()


@asynccontextmanager
async def opened() -> AsyncIterator[World]:
    # What stands for the outside is the host's own.
    engine = engines.rootless(
        KEY, listen_port=0, listen_address="127.0.0.1", forwarding=Forwarding(host=True)
    )
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serving(echo))
        stack.push_async_callback(engine.close)
        world = World(engine, port, stack)
        world.core.take(GatewayState(0, SETTINGS, (), "log"))
        await world.work()
        yield world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with opened() as world:
        yield world


async def test_a_device_reaches_what_the_host_reaches_if_its_policy_lets_it(world: World) -> None:
    tunnel, key = await world.client(2)
    assert await world.reaches(tunnel)
    await world.put(2, key, NOTHING)
    assert not await world.reaches(tunnel)
    await world.put(2, key)
    assert await world.reaches(tunnel)


async def test_a_device_that_is_disabled_is_cut_and_comes_back(world: World) -> None:
    tunnel, key = await world.client(2)
    assert await world.reaches(tunnel)
    await world.put(2, key, enabled=False)
    assert not await world.reaches(tunnel)
    assert [peer.public_key for peer in await world.engine.observe()] == []
    await world.put(2, key)
    await tunnel.close()
    again, _ = await world.client(2)
    assert await world.reaches(again)


async def test_devices_are_kept_apart_unless_one_may(world: World) -> None:
    first, key = await world.client(2)
    second, _ = await world.client(3)
    server = await world.stack.enter_async_context(await second.start_server(echo, 7000))
    assert server is not None
    assert await world.reaches(second)
    assert not await world.reaches(first, "10.88.0.3", 7000)
    await world.put(2, key, NEIGHBOURS)
    assert await world.reaches(first, "10.88.0.3", 7000)
    assert await world.reaches(first)


async def test_what_is_seen_of_devices_is_told(world: World) -> None:
    tunnel, key = await world.client(2)
    assert await world.reaches(tunnel)
    (seen,) = await world.engine.observe()
    assert seen.public_key == key
    assert seen.received > 0
    assert seen.sent > 0
    assert seen.latest_handshake is not None
    assert seen.endpoint is not None
    assert seen.endpoint.startswith("127.0.0.1:")
    assert (await world.engine.counters()).keys() >= {"source_not_allowed", "connections"}


async def test_a_gateway_whose_own_addresses_change_has_its_devices_still(world: World) -> None:
    tunnel, _ = await world.client(2)
    assert await world.reaches(tunnel)
    await tunnel.close()
    await world.settle(replace(SETTINGS, addresses=SETTINGS.addresses[:1]))
    assert len(await world.engine.observe()) == 1
    again, _ = await world.client(2)
    assert await world.reaches(again)


async def test_a_tunnel_that_ended_is_opened_again(world: World) -> None:
    await world.client(2)
    assert world.engine.tunnel is not None
    await world.engine.tunnel.close()
    with pytest.raises(OSError, match="closed"):
        await world.engine.observe()
    world.core.lost()
    await world.work()
    again, _ = await world.client(3)
    assert await world.reaches(again)


async def test_a_gateway_that_has_no_pools_yet_waits_for_them(world: World) -> None:
    await world.settle(Settings())
    assert world.engine.tunnel is None
    assert await world.engine.observe() == []
    assert await world.engine.counters() == {}
    await world.settle(SETTINGS)
    tunnel, _ = await world.client(2)
    assert await world.reaches(tunnel)
