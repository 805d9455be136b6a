"""A connection of a `BlockingTunnel`, used like a socket."""

from __future__ import annotations

import asyncio
import io
import socket
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

ResultT = TypeVar("ResultT")
Buffer = bytes | bytearray | memoryview


class Call(Protocol):
    """Runs a coroutine in the tunnel's loop."""

    def __call__(self, operation: Coroutine[Any, Any, ResultT], /) -> ResultT:
        """Wait for the result."""


class BlockingConnection:
    """A TCP connection inside a tunnel, with the methods of a socket that clients use.

    ``http.client`` and its like work on it: ``connection.sock = tunnel.connect(...)``. There is no file
    descriptor, so ``select`` cannot wait for it.
    """

    def __init__(
        self, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float | None
    ) -> None:
        self._call = call
        self._reader = reader
        self._writer = writer
        self._timeout = timeout
        self._files = 0
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<{type(self).__name__} {state} {self.getsockname()} to {self.getpeername()}>"

    def getpeername(self) -> tuple[str, int]:
        """Return the other end's address and port."""
        name: tuple[str, int] = self._writer.get_extra_info("peername")
        return name

    def getsockname(self) -> tuple[str, int]:
        """Return this end's address and port."""
        name: tuple[str, int] = self._writer.get_extra_info("sockname")
        return name

    def settimeout(self, timeout: float | None) -> None:
        """Let every later operation raise ``TimeoutError`` after that many seconds; None waits for ever."""
        self._timeout = timeout

    def gettimeout(self) -> float | None:
        """Return the time limit of an operation in seconds."""
        return self._timeout

    def send(self, data: Buffer) -> int:
        """Send all of ``data``; the number is always its length."""
        self.sendall(data)
        return memoryview(data).nbytes

    def sendall(self, data: Buffer) -> None:
        """Send all of ``data``, waiting while the buffers are full."""

        async def send() -> None:
            self._writer.write(data)
            await self._writer.drain()

        self._limited(send())

    def recv(self, size: int) -> bytes:
        """Return up to ``size`` bytes as soon as there are some; none at the end of the stream."""
        return self._limited(self._reader.read(size))

    def recv_into(self, buffer: bytearray | memoryview, size: int = 0) -> int:
        """Receive into ``buffer``, at most ``size`` bytes or all it holds; 0 at the end of the stream."""
        view = memoryview(buffer).cast("B")
        data = self.recv(size or len(view))
        view[: len(data)] = data
        return len(data)

    def shutdown(self, how: int) -> None:
        """End the sending direction (``SHUT_WR``, ``SHUT_RDWR``); the receiving one ends with ``close``."""

        async def end() -> None:
            if self._writer.can_write_eof():
                self._writer.write_eof()

        if how != socket.SHUT_RD:
            self._limited(end())

    def makefile(
        self,
        mode: str = "r",
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:  # noqa: ANN401 (it differs by mode, as a socket's)
        """Return a file over the connection, as ``socket.makefile`` does; it keeps the connection open."""
        reading, writing = "r" in mode, "w" in mode
        if set(mode) - set("rwb") or not (reading or writing):
            raise ValueError(f"invalid mode {mode!r} (only r, w, b allowed)")
        raw = _RawFile(self, reading=reading or not writing, writing=writing)
        if buffering == 0:
            if "b" not in mode:
                raise ValueError("unbuffered streams must be binary")
            return raw
        size = io.DEFAULT_BUFFER_SIZE if buffering is None or buffering < 0 else buffering
        file: io.BufferedRWPair | io.BufferedReader | io.BufferedWriter
        if reading and writing:
            file = io.BufferedRWPair(raw, raw, size)
        else:
            file = io.BufferedReader(raw, size) if reading else io.BufferedWriter(raw, size)
        return file if "b" in mode else io.TextIOWrapper(file, encoding, errors, newline)

    def close(self) -> None:
        """Close, once the last file made from the connection is closed too."""
        if not self._closed:
            self._closed = True
            self._close_if_unused()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _close_if_unused(self) -> None:
        if self._closed and self._files == 0:

            async def close() -> None:
                self._writer.close()

            # ConnectionError: the tunnel is closed, and the connection with it.
            try:
                self._call(close())
            except ConnectionError:
                return

    def _limited(self, operation: Coroutine[Any, Any, ResultT]) -> ResultT:
        async def limited() -> ResultT:
            try:
                async with asyncio.timeout(self._timeout):
                    return await operation
            except TimeoutError as error:
                if error.args:
                    raise
                peer = self.getpeername()
                raise TimeoutError(f"{peer[0]} port {peer[1]}: timed out after {self._timeout:g} s") from None

        if self._closed and self._files == 0:
            operation.close()
            raise OSError("The connection is closed.")
        return self._call(limited())

    # What the files call.

    def file_opened(self) -> None:
        """Count a file."""
        self._files += 1

    def file_closed(self) -> None:
        """Count a file no more; the last one closes a connection that is to be closed."""
        self._files -= 1
        self._close_if_unused()


class _RawFile(io.RawIOBase):
    def __init__(self, connection: BlockingConnection, *, reading: bool, writing: bool) -> None:
        self._connection: BlockingConnection | None = connection
        self._reading = reading
        self._writing = writing
        connection.file_opened()

    def readable(self) -> bool:
        return self._reading

    def writable(self) -> bool:
        return self._writing

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 (as in typeshed)
        return self._open().recv_into(buffer)

    def write(self, data: Any) -> int:  # noqa: ANN401 (as in typeshed)
        return self._open().send(data)

    def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            super().close()
            connection.file_closed()

    def _open(self) -> BlockingConnection:
        if self._connection is None:
            raise ValueError("I/O operation on closed file.")
        return self._connection
