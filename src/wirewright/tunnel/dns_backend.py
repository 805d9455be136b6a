"""Sockets for dnspython that live inside a tunnel; its resolver does the rest."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeVar

import dns.exception

from wirewright.tunnel.datagrams import TunnelDatagramTransport
from wirewright.tunnel.streams import open_streams

if TYPE_CHECKING:
    # dnspython documents these in dns.asyncbackend, but marks nothing there as exported.
    from dns._asyncbackend import Backend, DatagramSocket, StreamSocket
else:
    from dns.asyncbackend import Backend, DatagramSocket, StreamSocket

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from wirewright.tunnel.context import Context

ResultT = TypeVar("ResultT")

# Answers to one question that may wait unread; the others are dropped.
ANSWERS = 16


class TunnelBackend(Backend):
    """dnspython's idea of an event loop with sockets, all of them inside one tunnel."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def name(self) -> str:
        """Return the name of the backend."""
        return "wirewright"

    async def make_socket(  # noqa: PLR0917 (dnspython's)
        self,
        af: int,
        socktype: int,
        proto: int = 0,
        source: object = None,
        destination: tuple[str, int] = ("", 0),
        timeout: float | None = None,  # noqa: ASYNC109 (dnspython's)
        ssl_context: object = None,
        server_hostname: str | None = None,
    ) -> _DatagramSocket | _StreamSocket:
        """Make a socket that is closed by its ``async with``."""
        host, port = destination
        if socktype == socket.SOCK_DGRAM:
            # A route that is missing is an error now, and not a silence later.
            self._context.peers.owner(ip_address(host), f"DNS server {host}")
            return _DatagramSocket(af, self._context, (host, port))
        streams = await _within(timeout, open_streams(self._context, [ip_address(host)], port))
        return _StreamSocket(af, *streams)

    def datagram_connection_required(self) -> bool:
        """Ask for the destination when a datagram socket is made."""
        return True

    async def sleep(self, interval: float) -> None:
        """Wait."""
        await asyncio.sleep(interval)

    async def wait_for(self, awaitable: Awaitable[ResultT], timeout: float | None) -> ResultT:  # noqa: ASYNC109 (dnspython's)
        """Wait for something, but not for ever."""
        return await _within(timeout, awaitable)


class _DatagramSocket(asyncio.DatagramProtocol, DatagramSocket):
    def __init__(self, family: int, context: Context, remote: tuple[str, int]) -> None:
        DatagramSocket.__init__(self, family, socket.SOCK_DGRAM)
        self._received: deque[bytes | Exception] = deque(maxlen=ANSWERS)
        self._arrived = asyncio.Event()
        self._transport = TunnelDatagramTransport(context, context.core.bind(), self, remote)
        self._transport.begin()

    async def sendto(self, what: bytes, destination: object, timeout: float | None) -> int:  # noqa: ASYNC109 (dnspython's)
        self._transport.sendto(what)
        return len(what)

    async def recvfrom(self, size: int, timeout: float | None) -> tuple[bytes, object]:  # noqa: ASYNC109 (dnspython's)
        while not self._received:
            self._arrived.clear()
            await _within(timeout, self._arrived.wait())
        received = self._received.popleft()
        if isinstance(received, Exception):
            raise received
        return received, self._source()

    async def close(self) -> None:
        self._transport.abort()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._note(data)

    def error_received(self, exc: Exception) -> None:
        self._note(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self._note(exc or EOFError("closed"))

    def _note(self, what: bytes | Exception) -> None:
        self._received.append(what)
        self._arrived.set()

    def _source(self) -> object:
        host, port = self._transport.get_extra_info("peername")
        # dnspython compares with the address tuple of a socket, which has four parts for IPv6.
        return (host, port) if self.family == socket.AF_INET else (host, port, 0, 0)


class _StreamSocket(StreamSocket):
    def __init__(self, family: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self._reader = reader
        self._writer = writer

    async def sendall(self, what: bytes, timeout: float | None) -> None:  # noqa: ASYNC109 (dnspython's)
        self._writer.write(what)
        await _within(timeout, self._writer.drain())

    async def recv(self, size: int, timeout: float | None) -> bytes:  # noqa: ASYNC109 (dnspython's)
        return await _within(timeout, self._reader.read(size))

    async def close(self) -> None:
        self._writer.close()


async def _within(timeout: float | None, awaitable: Awaitable[ResultT]) -> ResultT:  # noqa: ASYNC109 (dnspython's)
    try:
        async with asyncio.timeout(timeout):
            return await awaitable
    except TimeoutError as error:
        # The tunnel's own timeouts (no handshake, say) have words; the deadline's is dnspython's to tell.
        if error.args:
            raise
        raise dns.exception.Timeout(timeout=timeout) from None  # type: ignore[no-untyped-call]
