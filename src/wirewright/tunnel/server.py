"""Accepting connections from inside the tunnel, with a server object like ``asyncio.Server``."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

from wirewright.tunnel.errors import AddressError
from wirewright.tunnel.transport import StreamTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wirewright._core import Connection, Listener
    from wirewright.tunnel.context import Context
    from wirewright.tunnel.tls import TlsSettings

# Connections taken from one listener in a row before the loop may do something else.
ACCEPTS_A_TURN = 64


class BoundAddress(NamedTuple):
    """Where a server listens inside the tunnel."""

    host: str
    port: int

    def getsockname(self) -> tuple[str, int]:
        """Return host and port, as a socket does."""
        return self.host, self.port

    @property
    def family(self) -> socket.AddressFamily:
        """The address family, as a socket has it."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET


class TunnelServer(asyncio.AbstractServer):
    """A server inside a tunnel. It accepts from its creation until ``close``."""

    def __init__(
        self,
        context: Context,
        listeners: Sequence[Listener],
        addresses: Sequence[BoundAddress],
        factory: Callable[[], asyncio.BaseProtocol],
        tls: TlsSettings | None,
    ) -> None:
        self._context = context
        self._factory = factory
        self._tls = tls
        self._acceptors = [_Acceptor(context, listener, self._accepted, self.close) for listener in listeners]
        self._addresses = tuple(addresses)
        self._clients: set[StreamTransport] = set()
        self._closed = False
        self._waiters: list[asyncio.Future[None]] = []
        self._serving_forever: asyncio.Future[None] | None = None
        context.servers.add(self)
        for acceptor in self._acceptors:
            acceptor.start()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} addresses={self.addresses!r}>"

    @property
    def addresses(self) -> tuple[BoundAddress, ...]:
        """Where the server listens; empty when it is closed."""
        return () if self._closed else self._addresses

    @property
    def sockets(self) -> tuple[BoundAddress, ...]:
        """As ``addresses``: there are no sockets, but ``getsockname()`` answers."""
        return self.addresses

    @property
    def port(self) -> int:
        """The port of the first address, also after closing."""
        return self._addresses[0].port

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop that serves."""
        return self._context.loop

    def is_serving(self) -> bool:
        """Whether new connections are accepted."""
        return not self._closed

    async def start_serving(self) -> None:
        """Do nothing: the server accepts from its creation on."""

    async def serve_forever(self) -> None:
        """Serve until cancelled; then the server is closed."""
        if self._serving_forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        if self._closed:
            raise RuntimeError(f"server {self!r} is closed")
        self._serving_forever = self._context.loop.create_future()
        try:
            await self._serving_forever
        except asyncio.CancelledError:
            self.close()
            await self.wait_closed()
            raise
        finally:
            self._serving_forever = None

    def close(self) -> None:
        """Accept no more; connections already accepted live on."""
        if self._closed:
            return
        self._closed = True
        self._context.servers.discard(self)
        for acceptor in self._acceptors:
            acceptor.stop()
        if self._serving_forever is not None and not self._serving_forever.done():
            self._serving_forever.cancel()
        self._wake_if_done()

    def close_clients(self) -> None:
        """Close all accepted connections."""
        for transport in list(self._clients):
            transport.close()

    def abort_clients(self) -> None:
        """Reset all accepted connections."""
        for transport in list(self._clients):
            transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the server is closed and its last connection has ended (as since Python 3.12)."""
        if self._closed and not self._clients:
            return
        waiter = self._context.loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        await self.wait_closed()

    def _accepted(self, connection: Connection) -> None:
        protocol = self._factory()
        if self._tls is not None:
            protocol = self._tls.protocol(self._context.loop, protocol, None)
        transport = StreamTransport(self._context, connection, protocol, self._client_lost)
        self._clients.add(transport)
        try:
            transport.begin()
        except BaseException:
            transport.abort()
            raise

    def _client_lost(self, transport: StreamTransport) -> None:
        self._clients.discard(transport)
        self._wake_if_done()

    def _wake_if_done(self) -> None:
        if self._closed and not self._clients:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)


def listen(
    context: Context, hosts: Sequence[str], own: Sequence[str], port: int, backlog: int
) -> tuple[list[Listener], list[BoundAddress]]:
    """Listen on each of ``hosts``, which are of the tunnel's ``own`` addresses; without any, on all of these.

    With port 0 the core chooses one, the same for all hosts.
    """
    listeners: list[Listener] = []
    try:
        wanted: Sequence[str | None] = hosts or [None]
        for host in wanted:
            if host is not None and host not in own:
                raise AddressError(
                    f"Cannot listen on {host}: it is not an address of this tunnel ({', '.join(own)}).",
                    errno=errno.EADDRNOTAVAIL,
                )
            listener = context.core.listen(port, host, backlog)
            listeners.append(listener)
            port = listener.port
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise _listen_error(error, port) from None
    return listeners, [BoundAddress(host, port) for host in hosts or own]


def _listen_error(error: OSError, port: int) -> OSError:
    if error.errno == errno.EADDRINUSE:
        return AddressError(f"Port {port} of the tunnel is in use by another server in this program.")
    return error


class _Acceptor:
    """One listener of a server."""

    def __init__(
        self,
        context: Context,
        listener: Listener,
        accepted: Callable[[Connection], None],
        closed: Callable[[], None],
    ) -> None:
        self._context = context
        self._listener = listener
        self._accepted = accepted
        self._closed = closed
        self._stopped = False

    def start(self) -> None:
        self._context.dispatcher.add(self._listener.id, self)
        self._context.loop.call_soon(self._accept)

    def stop(self) -> None:
        self._stopped = True
        self._context.dispatcher.remove(self._listener.id)
        # RuntimeError: the tunnel was closed, and the listener with it.
        with suppress(OSError, RuntimeError):
            self._listener.close()

    def core_event(self, kind: str, detail: object) -> None:
        if kind == "accepted":
            self._accept()

    def tunnel_closed(self, error: OSError) -> None:
        self._closed()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_A_TURN):
            if self._stopped:
                return
            connection = self._listener.accept()
            if connection is None:
                return
            try:
                self._accepted(connection)
            except Exception as error:  # one client's fault must not stop the server
                connection.abort()
                self._context.loop.call_exception_handler(
                    {"message": "A connection accepted in the tunnel could not be served", "exception": error}
                )
        self._context.loop.call_soon(self._accept)
