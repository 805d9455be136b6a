"""Connections for programs: a protocol of theirs, or genuine asyncio streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from wirewright.tunnel.dialing import race, release
from wirewright.tunnel.tls import LoopWithTls, TlsSettings, outer_transport
from wirewright.tunnel.transport import StreamTransport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from wirewright.tunnel.arguments import Address
    from wirewright.tunnel.context import Context

    ClientConnected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)

DEFAULT_LIMIT = 64 * 1024


async def connect(
    context: Context,
    factory: Callable[[], ProtocolT],
    addresses: Sequence[Address],
    port: int,
    *,
    local_port: int = 0,
    tls: TlsSettings | None = None,
) -> tuple[asyncio.Transport, ProtocolT]:
    """Connect to the first of ``addresses`` that answers, and join it with a protocol of ``factory``."""
    connection = await race(context, addresses, port, local_port)
    # No waiting until a transport owns the connection: a cancellation would lose it.
    try:
        protocol = factory()
        if tls is None:
            transport = StreamTransport(context, connection, protocol)
        else:
            waiter = context.loop.create_future()
            layer = tls.protocol(context.loop, protocol, waiter)
            outer = outer_transport(layer)
            transport = StreamTransport(context, connection, layer)
    except BaseException:
        release(context, connection)
        raise
    try:
        transport.begin()
        if tls is None:
            return transport, protocol
        await waiter
    except BaseException:
        transport.abort()
        raise
    return outer, protocol


async def open_streams(
    context: Context,
    addresses: Sequence[Address],
    port: int,
    *,
    limit: int = DEFAULT_LIMIT,
    local_port: int = 0,
    tls: TlsSettings | None = None,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect, and return the pair that ``asyncio.open_connection`` would."""
    loop = LoopWithTls.over(context.loop)
    reader = asyncio.StreamReader(limit=limit, loop=context.loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await connect(context, lambda: protocol, addresses, port, local_port=local_port, tls=tls)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def stream_factory(
    context: Context, handler: ClientConnected, limit: int
) -> Callable[[], asyncio.StreamReaderProtocol]:
    """Return the factory of protocols that call ``handler(reader, writer)`` for each accepted connection."""
    loop = LoopWithTls.over(context.loop)

    def make() -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(limit=limit, loop=context.loop)
        return asyncio.StreamReaderProtocol(reader, handler, loop=loop)

    return make
