"""Proxies over a pair of tunnels, and clients of theirs that are no code of ours."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.tunnel.pairs import SERVER_V4, SERVER_V6
from tests.tunnel.test_resolve import Zone
from wirewright.proxy.addresses import Place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.tunnel.pairs import Pair
    from wirewright.proxy import Listener

NAME = "web.corp.example"
HERE = Place("127.0.0.1", 0)


@contextlib.asynccontextmanager
async def opened(listener: Listener) -> AsyncIterator[Place]:
    place = await listener.open()
    try:
        yield place
    finally:
        await listener.close()


@contextlib.asynccontextmanager
async def named(pair: Pair) -> AsyncIterator[Zone]:
    """A name server behind the tunnel that knows one name."""
    zone = Zone({f"{NAME}.": [SERVER_V4, SERVER_V6]})
    transport, _ = await pair.server.create_datagram_endpoint(lambda: zone, local_addr=(None, 53))
    try:
        yield zone
    finally:
        transport.close()


@contextlib.asynccontextmanager
async def connected(
    place: tuple[str, int],
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*place)
    try:
        async with asyncio.timeout(20):
            yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def refuse_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make any question about a name to the system's resolver fail the test."""
    genuine = socket.getaddrinfo

    def numeric(host: Any, port: Any, *arguments: Any, **named: Any) -> Any:
        if isinstance(host, bytes):
            host = host.decode()
        if host and not host.replace(".", "").isdecimal() and ":" not in host:
            raise AssertionError(f"the system's resolver was asked for {host}")
        return genuine(host, port, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", numeric)
    for function in ("gethostbyname", "gethostbyname_ex"):
        monkeypatch.setattr(socket, function, lambda *arguments: pytest.fail(f"asked for {arguments}"))
