"""The server on its sockets: connections, and how many there may be; expiry in time.

A connection is accepted from port 970 only, of a link-local address that is one peer's, one at a time a
client and 16 in all. An address connects no more often than ``CONNECTIONS`` has it, and no connection lasts
for ever: whose it is takes a look at the whole interface. That both ports are fixed makes every connection
of a client the same four numbers, which TCP holds back for a minute (TIME_WAIT) at the side that closes
first. So the server leaves that to its clients, and answers their end by a reset: the client's system takes
it as the end of the connection, and of its waiting. Clients of ours end by a reset themselves. And a client
that is here again, from the same place, has ended what it had before, even if its end was lost: the new
connection takes the place of the old one.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final, Self

from wirewright.dynamic.churn import CONNECTIONS, Buckets
from wirewright.dynamic.conversation import Conversation
from wirewright.dynamic.identity import PORT, SERVER
from wirewright.dynamic.lines import encode
from wirewright.dynamic.messages import RequestError, refusal

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Awaitable, Callable

    from wirewright.dynamic.service import LeaseService
    from wirewright.keys import PublicKey
    from wirewright.tunnel import Tunnel

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    Listen = Callable[[Handler], Awaitable[asyncio.AbstractServer]]

MAX_CONNECTIONS: Final = 16
BACKLOG: Final = 16
LONGEST_SLEEP: Final = 60.0
"""Seconds after which the server looks at the time again, whatever it was told."""
RETRY: Final = 5.0
"""Seconds until what has ended, and could not be stored or taken from the interface, is tried again."""
_PIECE: Final = 4096


class LeaseServer:
    """Serves leases over connections that ``listen`` makes; see ``on_interface`` and ``in_tunnel``."""

    def __init__(
        self, service: LeaseService, listen: Listen, *, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        """``tell`` hears, in words for a person, what fails without a client that could be told."""
        self.service = service
        self.counters: Counter[str] = service.counters
        self._listen = listen
        self._tell = tell
        self._server: asyncio.AbstractServer | None = None
        self._clients: dict[PublicKey, asyncio.StreamWriter] = {}
        self._connections: set[asyncio.StreamWriter] = set()
        self._connecting = Buckets(CONNECTIONS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ender: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @classmethod
    def in_tunnel(
        cls, service: LeaseService, tunnel: Tunnel, *, tell: Callable[[str], None] = lambda _: None
    ) -> Self:
        """Serve inside a rootless tunnel, of whose addresses ``fe80::`` is one."""

        async def listen(handler: Handler) -> asyncio.AbstractServer:
            return await tunnel.start_server(handler, PORT, str(SERVER), backlog=BACKLOG, limit=_PIECE)

        return cls(service, listen, tell=tell)

    @classmethod
    def on_interface(
        cls, service: LeaseService, name: str, *, tell: Callable[[str], None] = lambda _: None
    ) -> Self:
        """Serve on a system interface that has the address ``fe80::``."""

        async def listen(handler: Handler) -> asyncio.AbstractServer:
            return await asyncio.start_server(handler, sock=_socket(name), limit=_PIECE)

        return cls(service, listen, tell=tell)

    async def start(self) -> None:
        """Restore the leases, then listen. Raises OSError."""
        await self.service.start()
        self._server = await self._listen(self._accept)
        self._ender = asyncio.create_task(self._end_in_time())

    async def close(self) -> None:
        """Listen no more, and end all connections; a request that is being worked on is finished."""
        if self._server is not None:
            self._server.close()
        if self._ender is not None:
            self._ender.cancel()
            with suppress(asyncio.CancelledError):
                await self._ender
        for writer in list(self._connections):
            _reset(writer)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._connections.add(writer)
        key = None
        try:
            address = self._admitted(writer)
            key = None if address is None else await self._identified(address, writer)
            if address is not None and key is not None:
                self._clients[key] = writer
                with suppress(ConnectionResetError):
                    await self._serve(reader, writer, address, key)
        except (OSError, TimeoutError) as error:
            self.counters["failed_connections"] += 1
            if not isinstance(error, ConnectionError | TimeoutError):
                self._tell(f"a client was not served: {error.strerror or error}")
        finally:
            _reset(writer)
            if key is not None and self._clients.get(key) is writer:
                del self._clients[key]
            self._connections.discard(writer)
            self._tasks.discard(task)

    def _admitted(self, writer: asyncio.StreamWriter) -> IPv6Address | None:
        """Give the address of a client that keeps to the rules; count one that does not."""
        host, port = writer.get_extra_info("peername")[:2]
        address = ip_address(host.partition("%")[0])
        if len(self._connections) > MAX_CONNECTIONS:
            self.counters["refused_full"] += 1
        elif port != PORT:
            self.counters["refused_port"] += 1
        elif not isinstance(address, IPv6Address) or not address.is_link_local:
            self.counters["refused_address"] += 1
        elif not self._connecting.take(address, self.service.clock.monotonic()):
            self.counters["refused_often"] += 1
        else:
            self.counters["connections"] += 1
            return address
        return None

    async def _identified(self, address: IPv6Address, writer: asyncio.StreamWriter) -> PublicKey | None:
        key = await self.service.identify(address)
        if key is None:
            self.counters["refused_unknown"] += 1
            return None
        before = self._clients.get(key)
        if before is None:
            return key
        if _peer(before) != _peer(writer):
            self.counters["refused_second"] += 1
            return None
        # Of two connections between the same addresses and ports, the first has ended.
        self.counters["superseded"] += 1
        _reset(before)
        return key

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: IPv6Address, key: PublicKey
    ) -> None:
        now = self.service.clock.monotonic
        talk = Conversation(now())
        while True:
            try:
                async with asyncio.timeout(max(0.0, talk.deadline - now())):
                    data = await reader.read(_PIECE)
            except TimeoutError:
                self.counters["timed_out"] += 1
                return
            if not data:
                return
            for request in talk.receive(data):
                try:
                    answer = await self.service.answer(address, key, request)
                except RequestError as error:
                    await self._say_last(reader, writer, error)
                    return
                writer.write(encode(answer))
                self._changed.set()
                async with asyncio.timeout(max(0.0, talk.deadline - now())):
                    await writer.drain()
                talk.answered(now())
                if talk.is_over(now()):
                    self.counters["ended_long"] += 1
                    await self._part(reader, writer)
                    return

    async def _say_last(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, error: RequestError
    ) -> None:
        """Say what was wrong, and close."""
        writer.write(encode(refusal(error)))
        await self._part(reader, writer)

    async def _part(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Close in order, so that what was said last arrives."""
        if writer.can_write_eof():
            writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(RETRY):
                await writer.drain()
                # What else it says is thrown away, lest its arrival resets the connection before the words
                # are read.
                while await reader.read(_PIECE):
                    pass

    async def _end_in_time(self) -> None:
        now = self.service.clock.monotonic
        # Answers do not put it off: nothing else tells of a quarantine that has ended.
        look_at = now() + LONGEST_SLEEP
        while True:
            self._changed.clear()
            ends = self.service.deadline()
            left = look_at - now()
            if ends is not None:
                left = min(left, ends)
            if left > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._changed.wait()
                    continue
            try:
                await self.service.expire()
            except OSError as error:
                self.counters["failed"] += 1
                self._tell(
                    f"what has ended cannot be ended yet: {error.filename or ''} {error.strerror or error}"
                )
                await asyncio.sleep(RETRY)
            else:
                look_at = now() + LONGEST_SLEEP


def _peer(writer: asyncio.StreamWriter) -> object:
    return writer.get_extra_info("peername")


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection at both sides at once; a tunnel's own does so by ``abort`` alone."""
    found = writer.get_extra_info("socket")
    if found is not None and not writer.is_closing():
        with suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _socket(name: str) -> socket.socket:
    """Listen at the well-known address of an interface."""
    listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind((str(SERVER), PORT, 0, socket.if_nametoindex(name)))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(error.errno or errno.EIO, _why(error, name)) from None
    return listener


def _why(error: OSError, name: str) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{name} does not have the address {SERVER}: ip address add {SERVER}/64 dev {name}"
    if error.errno == errno.EADDRINUSE:
        return f"port {PORT} of {SERVER} on {name} is in use: another server of wg-dynamic runs there"
    if error.errno == errno.EACCES:
        return f"port {PORT} cannot be opened without root"
    return f"cannot listen on {name}: {error.strerror or error}"
