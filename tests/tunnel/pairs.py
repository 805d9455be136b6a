"""Two tunnels joined by configuration, and what tests need to know of them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING, Any

from tests.tunnel.fake_core import FakeTunnel
from wirewright.config import Config, Endpoint, Interface, Peer
from wirewright.keys import PublicKey, SecretKey
from wirewright.tunnel import Timeouts, Tunnel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CLIENT_V4, CLIENT_V6 = "10.9.0.1", "fd09::1"
SERVER_V4, SERVER_V6 = "10.9.0.2", "fd09::2"
QUICK = Timeouts(endpoint=2.0, handshake=0.3, connect=0.3, ping=0.3, resolve=1.0, linger=1.0)


def fake(tunnel: Tunnel) -> FakeTunnel:
    """Return the fake core of a tunnel."""
    assert tunnel._context is not None
    made: Any = tunnel._context.core
    assert isinstance(made, FakeTunnel)
    return made


NOTHING = {"connections": 0, "listeners": 0, "datagrams": 0, "pings": 0}


def held(tunnel: Tunnel) -> dict[str, int]:
    """What the core holds for a tunnel now."""
    netstack = tunnel.stats().netstack
    return {kind: netstack.get(kind, 0) for kind in NOTHING}


async def nothing_held(tunnel: Tunnel) -> None:
    """Return when neither the core nor the dispatcher holds anything; the core's thread may need a moment."""
    async with asyncio.timeout(5):
        await nothing_awaited(tunnel)
        while held(tunnel) != NOTHING:  # noqa: ASYNC110 (no event tells)
            await asyncio.sleep(0.001)


async def nothing_awaited(tunnel: Tunnel) -> None:
    """Return when the dispatcher knows nobody: what was closed has delivered its last bytes."""
    assert tunnel._context is not None
    async with asyncio.timeout(5):
        while len(tunnel._context.dispatcher):  # noqa: ASYNC110 (likewise)
            await asyncio.sleep(0.001)


@dataclass
class Ends:
    """The secrets of both ends, and configurations made from them."""

    client_key: SecretKey = field(default_factory=SecretKey.generate)
    server_key: SecretKey = field(default_factory=SecretKey.generate)

    def server_config(self, **interface: Any) -> Config:
        addresses = (ip_interface(f"{SERVER_V4}/24"), ip_interface(f"{SERVER_V6}/64"))
        client = Peer(
            self.client_key.public_key,
            allowed_ips=(ip_network(f"{CLIENT_V4}/32"), ip_network(f"{CLIENT_V6}/128")),
        )
        settings = {"private_key": self.server_key, "addresses": addresses, **interface}
        return Config(Interface(**settings), (client,))

    def client_config(self, endpoint: str | None, port: int = 0, **interface: Any) -> Config:
        addresses = (ip_interface(f"{CLIENT_V4}/24"), ip_interface(f"{CLIENT_V6}/64"))
        server = Peer(
            self.server_key.public_key,
            allowed_ips=(ip_network("10.9.0.0/24"), ip_network("fd09::/64")),
            endpoint=Endpoint(endpoint, port) if endpoint else None,
        )
        settings: dict[str, Any] = {
            "private_key": self.client_key,
            "addresses": addresses,
            "dns": (ip_address(SERVER_V4), "corp.example"),
            **interface,
        }
        return Config(Interface(**settings), (server,))


@dataclass
class Pair:
    """Two open tunnels."""

    client: Tunnel
    server: Tunnel
    ends: Ends

    @property
    def server_peer(self) -> PublicKey:
        return self.ends.server_key.public_key


@asynccontextmanager
async def joined(
    timeouts: Timeouts | None = None, ends: Ends | None = None, **client: Any
) -> AsyncIterator[Pair]:
    """Open a server and a client that knows where it is."""
    ends = ends or Ends()
    async with AsyncExitStack() as stack:
        server = Tunnel(ends.server_config(), listen_address="127.0.0.1", timeouts=timeouts)
        await stack.enter_async_context(server)
        config = ends.client_config("127.0.0.1", server.listen_port, **client)
        opened = Tunnel(config, listen_address="127.0.0.1", timeouts=timeouts)
        yield Pair(await stack.enter_async_context(opened), server, ends)
