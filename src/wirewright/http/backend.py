"""httpcore2's idea of a network, all of it inside one tunnel."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpcore2

from wirewright.tunnel.tls import LoopWithTls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wirewright.tunnel import BlockingTunnel, Tunnel

# Bytes that may wait unread in a stream before the sender is slowed down.
READ_LIMIT = 256 * 1024


class Reader(asyncio.StreamReader):
    """A reader that tells whether `read` would return at once."""

    # Bytes that were fed and not read.
    waiting = 0

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]
        """Take what came."""
        self.waiting += len(data)
        super().feed_data(data)

    async def take(self, max_bytes: int) -> bytes:
        """Read up to so many bytes, of which there is at least one; nothing at the end."""
        data = await self.read(max_bytes)
        self.waiting -= len(data)
        return data

    @property
    def readable(self) -> bool:
        """Whether there are bytes, the end or an error."""
        return self.waiting > 0 or self.at_eof() or self.exception() is not None


class TunnelStream(httpcore2.AsyncNetworkStream):
    """One connection."""

    def __init__(self, reader: Reader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 (httpcore2's)
        """Return what there is, as soon as there is anything; nothing at the end."""
        with _translated(httpcore2.ReadTimeout, httpcore2.ReadError):
            async with asyncio.timeout(timeout):
                return await self._reader.take(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 (httpcore2's)
        """Send all of it."""
        with _translated(httpcore2.WriteTimeout, httpcore2.WriteError):
            async with asyncio.timeout(timeout):
                self._writer.write(buffer)
                await self._writer.drain()

    async def aclose(self) -> None:
        """Close; what was written still arrives."""
        self._writer.close()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore2's)
    ) -> TunnelStream:
        """Speak TLS from now on."""
        if self._reader.waiting:
            # They would be read as if TLS had brought them, and anybody on the way may have put them there.
            self._writer.transport.abort()
            raise httpcore2.ConnectError("The server sent bytes before TLS began.")
        with _translated(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            async with asyncio.timeout(timeout):
                try:
                    await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
                except BaseException:
                    self._writer.transport.abort()
                    raise
        return self

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 (it differs by name)
        """Tell what httpcore2 asks for, by its names."""
        match info:
            case "client_addr":
                return self._writer.get_extra_info("sockname")
            case "server_addr":
                return self._writer.get_extra_info("peername")
            case "is_readable":
                # Asked of an idle connection, which is used again only if not: bytes there are as bad as the
                # end, since they would be taken for the answer to the next request.
                return self._reader.readable
            case _:
                return self._writer.get_extra_info(info)


class TunnelBackend(httpcore2.AsyncNetworkBackend):
    """Connects through a tunnel, whose DNS servers are asked for names."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore2's)
        local_address: str | None = None,
        socket_options: Iterable[object] | None = None,
    ) -> TunnelStream:
        """Connect; options of sockets mean nothing here."""
        if local_address is not None and local_address not in self._tunnel.addresses:
            raise httpcore2.ConnectError(f"{local_address} is not an address of this tunnel.")
        with _translated(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            async with asyncio.timeout(timeout):
                loop = asyncio.get_running_loop()
                reader = Reader(limit=READ_LIMIT, loop=loop)
                with_tls = LoopWithTls.over(loop)
                protocol = asyncio.StreamReaderProtocol(reader, loop=with_tls)
                transport, _ = await self._tunnel.create_connection(lambda: protocol, host, port)
        return TunnelStream(reader, asyncio.StreamWriter(transport, protocol, reader, with_tls))

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore2's)
        socket_options: Iterable[object] | None = None,
    ) -> TunnelStream:
        """Refuse: there are none in a tunnel."""
        raise httpcore2.ConnectError(f"There is no socket {path} behind a tunnel.")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class BlockingStream(httpcore2.NetworkStream):
    """One connection of a `BlockingTunnel`, each step of which is done in the tunnel's loop."""

    def __init__(self, tunnel: BlockingTunnel, stream: TunnelStream) -> None:
        self._tunnel = tunnel
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what there is, as soon as there is anything; nothing at the end."""
        with _translated(httpcore2.ReadTimeout, httpcore2.ReadError):
            return self._tunnel.call(self._stream.read(max_bytes, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        with _translated(httpcore2.WriteTimeout, httpcore2.WriteError):
            self._tunnel.call(self._stream.write(buffer, timeout))

    def close(self) -> None:
        """Close; what was written still arrives."""
        try:
            self._tunnel.call(self._stream.aclose())
        except ConnectionError:
            return  # the tunnel is closed, and the connection with it

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> BlockingStream:
        """Speak TLS from now on."""
        with _translated(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            self._tunnel.call(self._stream.start_tls(ssl_context, server_hostname, timeout))
        return self

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 (it differs by name)
        """Tell what httpcore2 asks for, by its names."""
        return self._stream.get_extra_info(info)


class BlockingBackend(httpcore2.NetworkBackend):
    """Connects through a `BlockingTunnel`."""

    def __init__(self, tunnel: BlockingTunnel) -> None:
        self._tunnel = tunnel
        self._backend = TunnelBackend(tunnel.tunnel)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[object] | None = None,
    ) -> BlockingStream:
        """Connect; options of sockets mean nothing here."""
        with _translated(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            stream = self._tunnel.call(self._backend.connect_tcp(host, port, timeout, local_address))
        return BlockingStream(self._tunnel, stream)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[object] | None = None
    ) -> BlockingStream:
        """Refuse: there are none in a tunnel."""
        raise httpcore2.ConnectError(f"There is no socket {path} behind a tunnel.")


@contextmanager
def _translated(late: type[Exception], failed: type[Exception]) -> Iterator[None]:
    """Raise httpcore2's errors for a tunnel's, with their words."""
    try:
        yield
    except TimeoutError as error:
        raise late(str(error) or "it took longer than the timeout") from error
    except OSError as error:
        # ssl.SSLError is one.
        raise failed(str(error)) from error
