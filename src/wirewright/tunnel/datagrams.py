"""A UDP socket of the core as an ``asyncio.DatagramTransport``."""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from contextlib import suppress
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeVar

from wirewright.tunnel.arguments import check_port
from wirewright.tunnel.errors import AddressError, TunnelError, connect_error
from wirewright.tunnel.flow import WriteFlow

if TYPE_CHECKING:
    from collections.abc import Callable

    from wirewright._core import Datagrams
    from wirewright.tunnel.arguments import Address
    from wirewright.tunnel.context import Context

DatagramProtocolT = TypeVar("DatagramProtocolT", bound=asyncio.DatagramProtocol)

# Datagrams received in a row before the loop may do something else.
RECEIVES_A_TURN = 64
# Beyond this many waiting bytes datagrams are dropped and counted, as a full socket buffer does: a protocol
# that ignores pause_writing() must not grow memory without end.
BUFFER_LIMIT = 1024 * 1024


def bind(
    context: Context,
    host: str | None,
    port: int,
    factory: Callable[[], DatagramProtocolT],
    remote: tuple[str, int] | None,
) -> tuple[TunnelDatagramTransport, DatagramProtocolT]:
    """Bind a socket and join it with a protocol of ``factory``."""
    try:
        datagrams = context.core.bind(port, host)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressError(f"UDP port {port} of the tunnel is in use by this program already.") from None
        raise
    try:
        protocol = factory()
        transport = TunnelDatagramTransport(context, datagrams, protocol, remote)
        transport.begin()
    except BaseException:
        context.dispatcher.remove(datagrams.id)
        datagrams.close()
        raise
    return transport, protocol


class TunnelDatagramTransport(asyncio.DatagramTransport):
    """One UDP socket inside a tunnel."""

    def __init__(
        self,
        context: Context,
        datagrams: Datagrams,
        protocol: asyncio.DatagramProtocol,
        remote: tuple[str, int] | None,
    ) -> None:
        super().__init__(
            {"sockname": datagrams.local, "peername": remote, "tunnel": context.tunnel, "socket": None}
        )
        self._context = context
        self._loop = context.loop
        self._datagrams = datagrams
        self._protocol = protocol
        self._remote = remote
        self._flow = WriteFlow(self._loop, self)
        self._buffer: deque[tuple[bytes, tuple[str, int]]] = deque()
        self._buffered = 0
        self._closing = False
        self._lost = False
        self.dropped = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._datagrams.local} to {self._remote or 'anybody'}>"

    def begin(self) -> None:
        """Tell the protocol that the socket exists and start receiving."""
        self._context.dispatcher.add(self._datagrams.id, self)
        self._protocol.connection_made(self)
        self._loop.call_soon(self._receive)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let ``protocol``, a ``DatagramProtocol``, receive from now on."""
        if not isinstance(protocol, asyncio.DatagramProtocol):
            raise TypeError(f"a datagram transport needs an asyncio.DatagramProtocol, not {protocol!r}")
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol that receives."""
        return self._protocol

    def is_closing(self) -> bool:
        """Whether the socket is closed or being closed."""
        return self._closing

    def get_write_buffer_size(self) -> int:
        """Return the bytes that the core has not taken yet."""
        return self._buffered

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high mark in bytes."""
        return self._flow.low, self._flow.high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks in bytes between which the protocol is paused and resumed."""
        self._flow.set_limits(high, low)
        self._flow.update(self._buffered, self._protocol)

    def sendto(self, data: bytes | bytearray | memoryview, addr: tuple[str, int] | None = None) -> None:  # type: ignore[override]
        """Send one datagram to ``addr``, an IP address and a port, or to the address fixed at creation."""
        destination = self._destination(addr)
        if self._closing:
            return
        if not self._buffer and self._send(data, destination):
            return
        if self._buffered + len(data) > BUFFER_LIMIT:
            self.dropped += 1
            return
        self._buffer.append((bytes(data), destination))
        self._buffered += len(data)
        self._flow.update(self._buffered, self._protocol)

    def close(self) -> None:
        """Send what is buffered, then close."""
        if not self._closing:
            self._closing = True
            if not self._buffer:
                self._lose(None)

    def abort(self) -> None:
        """Close at once and drop what is buffered."""
        self._lose(None)

    def core_event(self, kind: str, detail: object) -> None:
        """Take an event of the core about this socket."""
        if kind == "datagram":
            self._receive()
        elif kind == "writable":
            self._flush()

    def tunnel_closed(self, error: OSError) -> None:
        """End with ``error``: the tunnel is gone."""
        self._lose(error)

    def _destination(self, addr: tuple[str, int] | None) -> tuple[str, int]:
        if self._remote is not None:
            if addr is not None and _canonical(addr) != self._remote:
                raise ValueError(f"Invalid address {addr}: this endpoint sends to {self._remote} only")
            return self._remote
        if addr is None:
            raise ValueError("sendto() needs an address: the endpoint was created without remote_addr")
        return _canonical(addr)

    def _send(self, data: bytes | bytearray | memoryview, destination: tuple[str, int]) -> bool:
        """Hand over one datagram; true unless it must wait for room."""
        try:
            self._context.peers.owner(_parse(destination[0]), destination[0])
            return self._datagrams.send(data, *destination)
        except OSError as error:
            self._protocol.error_received(self._explained(error, len(data), destination))
            return True
        except RuntimeError:
            self._lose(self._context.closed_error())
            return True

    def _explained(self, error: OSError, length: int, destination: tuple[str, int]) -> OSError:
        name = f"{destination[0]} port {destination[1]}"
        if error.errno == errno.EMSGSIZE:
            return TunnelError(
                f"A datagram of {length} bytes to {name} is too long: send less at once.",
                errno=errno.EMSGSIZE,
            )
        return connect_error(error, name)

    def _flush(self) -> None:
        while self._buffer and not self._lost:
            data, destination = self._buffer[0]
            if not self._send(data, destination):
                break
            if self._buffer:
                self._buffer.popleft()
                self._buffered -= len(data)
        self._flow.update(self._buffered, self._protocol)
        if self._closing and not self._buffer:
            self._lose(None)

    def _receive(self) -> None:
        for _ in range(RECEIVES_A_TURN):
            if self._closing:
                return
            received = self._datagrams.receive()
            if received is None:
                return
            data, source = received
            if self._remote is None or source == self._remote:
                self._protocol.datagram_received(data, source)
        self._loop.call_soon(self._receive)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._closing = self._lost = True
        self._buffer.clear()
        self._buffered = 0
        self._context.dispatcher.remove(self._datagrams.id)
        # RuntimeError: the tunnel was closed, and the socket with it.
        with suppress(OSError, RuntimeError):
            self._datagrams.close()
        self._loop.call_soon(self._protocol.connection_lost, error)


def _canonical(addr: tuple[str, int]) -> tuple[str, int]:
    """Return the address as the core writes it; a name is an error, for looking it up would have to wait."""
    check_port(addr[1], least=1)
    try:
        return str(_parse(addr[0])), addr[1]
    except ValueError:
        raise ValueError(
            f"sendto() takes an IP address, not {addr[0]!r}: await tunnel.resolve() first"
        ) from None


@lru_cache(maxsize=1024)
def _parse(host: str) -> Address:
    return ip_address(host)
