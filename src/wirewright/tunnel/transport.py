"""A connection of the core as an ``asyncio.Transport``.

The core buffers both directions, bounded: what it takes from ``write`` is on its way, what it refuses waits
here, and above the high-water mark the protocol is told to pause. Nothing is read while reading is paused, so
the core's receive buffer fills and its TCP window closes: backpressure reaches the sender.

    open --close()--> closing (buffer drains) --> connection_lost(None); the core lingers until all is acked
    open --abort(), error--> connection_lost(error); the core forgets the connection at once
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from wirewright.tunnel.errors import stream_error
from wirewright.tunnel.flow import WriteFlow
from wirewright.tunnel.sending import SendBuffer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wirewright._core import Connection
    from wirewright.tunnel.context import Context

READ_LIMIT = 256 * 1024
# Reads of one connection in a row before the loop may look at others.
READS_A_TURN = 4


class StreamTransport(asyncio.Transport):
    """One TCP connection inside a tunnel."""

    # loop.start_tls() of the stock event loops asks for this.
    _start_tls_compatible = True

    def __init__(
        self,
        context: Context,
        connection: Connection,
        protocol: asyncio.BaseProtocol,
        on_lost: Callable[[StreamTransport], None] | None = None,
    ) -> None:
        peer = connection.peer
        super().__init__(
            {"peername": peer, "sockname": connection.local, "tunnel": context.tunnel, "socket": None}
        )
        self._context = context
        self._loop = context.loop
        self._connection = connection
        self._peer = f"{peer[0]} port {peer[1]}"
        self._on_lost = on_lost
        self._flow = WriteFlow(self._loop, self)
        self._output = SendBuffer(connection)
        self._reading_paused = False
        self._read_scheduled = False
        self._end_of_stream = False
        self._eof_written = False
        self._closing = False
        self._lost = False
        # The errno by which the core ended the connection, while bytes received before may still be read.
        self._pending_error: int | None = None
        self._core_ended = False
        self.set_protocol(protocol)

    def __repr__(self) -> str:
        state = "lost" if self._lost else "closing" if self._closing else "open"
        return f"<{type(self).__name__} {state} {self._peer}, {self._output.size} bytes to write>"

    def begin(self) -> None:
        """Tell the protocol that the connection is made and start reading."""
        self._context.dispatcher.add(self._connection.id, self)
        self._protocol.connection_made(self)
        # Whatever arrived before this object existed had its event without us: look once.
        self._schedule_read()

    # Protocol and information.

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let ``protocol`` receive from now on."""
        self._protocol: Any = protocol
        buffered = isinstance(protocol, asyncio.BufferedProtocol)
        self._read_once = self._read_into if buffered else self._read_bytes

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol that receives."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def is_closing(self) -> bool:
        """Whether the connection is closed or being closed."""
        return self._closing

    # Reading.

    def is_reading(self) -> bool:
        """Whether the protocol receives: neither paused nor closing."""
        return not (self._reading_paused or self._closing)

    def pause_reading(self) -> None:
        """Give nothing to the protocol until ``resume_reading``; the sender is slowed down in the end."""
        self._reading_paused = True

    def resume_reading(self) -> None:
        """Give to the protocol again."""
        if self._reading_paused:
            self._reading_paused = False
            self._schedule_read()

    def _schedule_read(self) -> None:
        if not self._read_scheduled:
            self._read_scheduled = True
            self._loop.call_soon(self._scheduled_read)

    def _scheduled_read(self) -> None:
        self._read_scheduled = False
        self._read()

    def _read(self) -> None:
        for _ in range(READS_A_TURN):
            if self._reading_paused or self._closing or self._end_of_stream:
                return
            try:
                more = self._read_once()
            except (OSError, RuntimeError) as error:
                self._end_of_stream = True
                self._force_close(self._explained(error))
                return
            if not more:
                if self._pending_error is not None:
                    self._force_close(stream_error(self._pending_error, self._peer))
                return
        self._schedule_read()

    def _read_bytes(self) -> bool:
        data = self._connection.read(READ_LIMIT)
        if data:
            self._guarded("data_received", data)
            return True
        if data is not None:
            self._received_eof()
        return False

    def _read_into(self) -> bool:
        buffer = self._guarded("get_buffer", -1)
        if buffer is None:
            return False
        count = self._connection.readinto(buffer)
        if count:
            self._guarded("buffer_updated", count)
            return True
        if count is not None:
            self._received_eof()
        return False

    def _received_eof(self) -> None:
        self._end_of_stream = True
        if not self._guarded("eof_received"):
            self.close()

    def _guarded(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 (it differs by method)
        """Call the protocol; what it throws ends this connection and is reported, as the stock loops do."""
        try:
            return getattr(self._protocol, method)(*arguments)
        except Exception as error:  # whatever it is, it is the protocol's
            self._loop.call_exception_handler(
                {
                    "message": f"Fatal error: protocol.{method}() call failed.",
                    "exception": error,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )
            self._force_close(error)
            return None

    # Writing.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send ``data``; what the core has no room for is kept here."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(
                f"data argument must be a bytes-like object, not {type(data).__name__!r}: encode text first"
            )
        if self._eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not self._closing and data and self._ask_core(self._output.write, data):
            self._flow.update(self._output.size, self._protocol)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send all chunks, as if they were one."""
        self.write(b"".join(list_of_data))

    def _flush(self) -> None:
        if self._lost or not self._ask_core(self._output.flush):
            return
        self._flow.update(self._output.size, self._protocol)
        if self._output:
            return
        if self._closing:
            self._close_gracefully()
        elif self._eof_written:
            self._ask_core(self._connection.write_eof)

    def can_write_eof(self) -> bool:
        """Tell that the writing half can be closed alone."""
        return True

    def write_eof(self) -> None:
        """Close the writing half after what is buffered; reading goes on."""
        if self._closing or self._eof_written:
            return
        self._eof_written = True
        if not self._output:
            self._ask_core(self._connection.write_eof)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks in bytes between which the protocol is paused and resumed."""
        self._flow.set_limits(high, low)
        self._flow.update(self._output.size, self._protocol)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high mark in bytes."""
        return self._flow.low, self._flow.high

    def get_write_buffer_size(self) -> int:
        """Return the bytes that the core has not taken yet."""
        return self._output.size

    # The end.

    def close(self) -> None:
        """Send what is buffered, then close; the core sees to it that all of it arrives."""
        if self._closing:
            return
        self._closing = True
        self._context.lingering.add(self._connection.id)
        if not self._output:
            self._close_gracefully()

    def abort(self) -> None:
        """Drop what is buffered and reset the connection."""
        self._force_close(None)

    def _close_gracefully(self) -> None:
        if not self._lost and self._ask_core(self._connection.close):
            self._lose(None)

    def _force_close(self, error: BaseException | None) -> None:
        """Reset the connection; ``error`` is what the protocol gets to know (``SSLProtocol`` calls this)."""
        if self._lost:
            return
        self._closing = True
        self._context.lingering.discard(self._connection.id)
        self._context.dispatcher.remove(self._connection.id)
        # RuntimeError: the core is closed, and the connection with it.
        with suppress(OSError, RuntimeError):
            self._connection.abort()
        self._lose(error)

    def _lose(self, error: BaseException | None) -> None:
        self._lost = True
        self._output.clear()
        if self._core_ended:
            self._context.lingering.discard(self._connection.id)
            self._context.dispatcher.remove(self._connection.id)
        self._loop.call_soon(self._connection_lost, error)

    def _connection_lost(self, error: BaseException | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            if self._on_lost is not None:
                self._on_lost(self)

    def _ask_core(self, request: Callable[..., None], *arguments: object) -> bool:
        """Make a request; if the core refuses, the connection ends and the answer is no."""
        try:
            request(*arguments)
        except (OSError, RuntimeError) as error:
            self._force_close(self._explained(error))
            return False
        return True

    def _explained(self, error: Exception) -> Exception:
        if isinstance(error, RuntimeError):
            # Only a closed core raises it.
            return self._context.closed_error()
        if isinstance(error, OSError) and error.errno is not None:
            return stream_error(error.errno, self._peer)
        return error

    # What the dispatcher calls.

    def core_event(self, kind: str, detail: object) -> None:
        """Take an event of the core about this connection."""
        match kind:
            case "readable":
                self._read()
            case "writable":
                self._flush()
            case "closed":
                self._core_closed(detail if isinstance(detail, int) else None)

    def _core_closed(self, code: int | None) -> None:
        self._core_ended = True
        if self._lost:
            self._context.lingering.discard(self._connection.id)
            self._context.dispatcher.remove(self._connection.id)
        elif code is None:
            self._read()
        elif self._output or self._end_of_stream or self._closing:
            self._force_close(stream_error(code, self._peer))
        else:
            # What arrived before the end is still read, when the protocol wants it.
            self._pending_error = code
            self._read()

    def tunnel_closed(self, error: OSError) -> None:
        """End with ``error``: the tunnel is gone."""
        self._force_close(error)
