"""A port of this machine's loopback that leads to a port behind a tunnel."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from wirewright.config.values import host_and_port
from wirewright.tunnel.arguments import check_number, check_port, literal, parse_endpoint
from wirewright.tunnel.crowd import Crowd, Passage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from wirewright.tunnel.arguments import Endpoint
    from wirewright.tunnel.context import Context
    from wirewright.tunnel.tunnel import Tunnel

LOOPBACK = "127.0.0.1"
CONNECTIONS = 1024


class LocalAddress(NamedTuple):
    """Where something listens on this machine. Its text is "host:port"."""

    host: str
    port: int

    def __str__(self) -> str:
        return host_and_port(self.host, self.port)


class Forward:
    """A listener on this machine, each of whose connections is connected to ``remote`` through the tunnel."""

    def __init__(self, tunnel: Tunnel, remote: Endpoint, *, connections: int = CONNECTIONS) -> None:
        """Prepare for "host:port" behind the tunnel, for that many connections at once."""
        check_number("connections", connections, 1)
        self.remote = _destination(remote)
        self.crowd = Crowd(connections)
        self._tunnel = tunnel
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> LocalAddress:
        """Listen."""
        self._server, address = await listen_here(self._passage, host, port)
        return address

    async def close(self) -> None:
        """Listen no more, and reset the connections."""
        if self._server is not None:
            self._server.close()
        await self.crowd.close()

    def _passage(self) -> Passage:
        host, port = self.remote
        return Passage(self.crowd, lambda make: self._tunnel.create_connection(make, host, port))


@asynccontextmanager
async def forwarded(
    context: Context, remote: Endpoint, host: str, port: int, connections: int
) -> AsyncIterator[LocalAddress]:
    """Forward for as long as the block runs, or until the tunnel closes."""
    check_port(port)
    address = literal(host)
    if address is None or not address.is_loopback:
        raise ValueError(
            f"A forward listens on this machine's loopback only ({LOOPBACK}, ::1), not on {host!r}, since "
            "whoever can connect to it is let into the private network without a question."
        )
    forward = Forward(context.tunnel, remote, connections=connections)
    where = await forward.open(str(address), port)
    context.forwards.add(forward)
    try:
        yield where
    finally:
        context.forwards.discard(forward)
        await forward.close()


async def listen_here(
    factory: Callable[[], asyncio.BaseProtocol], host: str, port: int
) -> tuple[asyncio.Server, LocalAddress]:
    """Listen on an IP address of this machine; port 0 is any free one."""
    server = await asyncio.get_running_loop().create_server(factory, host, port, backlog=1024)
    name = server.sockets[0].getsockname()
    return server, LocalAddress(name[0], name[1])


def _destination(remote: Endpoint) -> tuple[str, int]:
    try:
        parsed = parse_endpoint(remote)
    except ValueError:
        parsed = None
    if parsed is None:
        raise ValueError(
            f"{remote!r} is no destination: write host:port, an IPv6 address in brackets, or give a pair."
        )
    return parsed
