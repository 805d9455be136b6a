"""Two connections as one: bytes, their ends and resets go over from each to the other.

The outer connection is the one that came, the inner one that which was made for it; one of them is a socket
of this machine, the other a `StreamTransport`. Each end is the protocol of its transport and writes to the
other's:

    both open --end of one stream--> half open --end of the other--> closing (buffers drain) --> over
    any state --reset or error of one side--> the other is reset --> over

While one side does not take what is written to it, the other is not read, and TCP's windows do the rest.
Bytes for a `StreamTransport` are read into one buffer for all connections of a thread, since it keeps none of
it; others come as objects that a transport may keep.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any, cast

from wirewright.tunnel.transport import StreamTransport

if TYPE_CHECKING:
    from collections.abc import Callable

READ_BYTES = 256 * 1024
# Closing with this option resets the connection (socket(7), SO_LINGER with a time of zero).
_RESET = struct.pack("ii", 1, 0)


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.view = memoryview(bytearray(READ_BYTES))


_scratch = _Scratch()


class Relay:
    """One pair of connections. ``inner_end`` is the protocol to connect through the tunnel with."""

    def __init__(self, outer: asyncio.Transport, on_over: Callable[[], None]) -> None:
        """Prepare for ``outer``; ``on_over`` is called once, when both connections have ended."""
        self.outer = outer
        self.inner: asyncio.Transport | None = None
        self.inner_end = InnerEnd(self)
        self._on_over = on_over
        # Whose stream has ended, and who is no more.
        self._outer_ended = self._inner_ended = False
        self._outer_lost = self._inner_lost = False

    def start(self, early: bytes = b"", *, ended: bool = False, full: bool = False) -> None:
        """Take over both: ``early`` is what came from outside already, ``ended`` whether that is all.

        ``full`` is whether the outer transport said to its former protocol that it takes no more.
        """
        inner = self._inner()
        if self.outer.is_closing():
            # It ended while we connected, and told a protocol that is no more.
            self.outer_lost(ConnectionAbortedError())
            return
        # Paused while the protocol changes: uvloop chooses how to read when reading starts.
        self.outer.pause_reading()
        kind = BufferedOuterEnd if isinstance(inner, StreamTransport) else PlainOuterEnd
        self.outer.set_protocol(kind(self, inner))
        if not ended:
            self.outer.resume_reading()
        if early:
            # If that is too much, reading pauses again: so not before.
            inner.write(early)
        if ended:
            self.outer_eof()
        if not full:
            self.resume_inner()

    def abort(self) -> None:
        """Reset both connections."""
        reset(self.outer)
        if self.inner is not None:
            reset(self.inner)

    # What the ends call. A transport that was at its end must not be paused and resumed: the stock loops
    # would tell the end again.

    def outer_eof(self) -> None:
        """Pass the end of the outer stream on."""
        if not self._outer_ended:
            self._outer_ended = True
            self._pass_end(self._inner())

    def inner_eof(self) -> None:
        """Pass the end of the inner stream on."""
        if not self._inner_ended:
            self._inner_ended = True
            self._pass_end(self.outer)

    def _pass_end(self, to: asyncio.Transport) -> None:
        if not to.is_closing():
            try:
                to.write_eof()
            except OSError:
                # It was reset, which its transport does not know yet, or never will if it is not read.
                self.abort()
                return
        if self._outer_ended and self._inner_ended:
            self.outer.close()
            self._inner().close()

    def pause_outer(self) -> None:
        """Read nothing from outside: the tunnel takes no more."""
        if not (self._outer_ended or self.outer.is_closing()):
            self.outer.pause_reading()

    def resume_outer(self) -> None:
        """Read on."""
        if not (self._outer_ended or self.outer.is_closing()):
            self.outer.resume_reading()

    def pause_inner(self) -> None:
        """Read nothing of the inner connection: the outer one takes no more."""
        if not (self._inner_ended or self._inner().is_closing()):
            self._inner().pause_reading()

    def resume_inner(self) -> None:
        """Read on."""
        if not (self._inner_ended or self._inner().is_closing()):
            self._inner().resume_reading()

    def outer_lost(self, error: BaseException | None) -> None:
        """End the inner connection as the outer one has ended."""
        already, self._outer_lost = self._outer_lost, True
        if already:
            return
        if error is not None:
            reset(self._inner())
        else:
            self._inner().close()
        self._over_when_both_are()

    def inner_lost(self, error: BaseException | None) -> None:
        """End the outer connection as the inner one has ended."""
        self._inner_lost = True
        if error is not None:
            reset(self.outer)
        else:
            self.outer.close()
        self._over_when_both_are()

    def _over_when_both_are(self) -> None:
        if self._outer_lost and self._inner_lost:
            self._on_over()

    def _inner(self) -> asyncio.Transport:
        if self.inner is None:
            raise RuntimeError("a relay starts when its inner connection is made")
        return self.inner


class OuterEnd(asyncio.BaseProtocol):
    """What the outer connection brings goes to the inner one."""

    def __init__(self, relay: Relay, inner: asyncio.Transport) -> None:
        self._relay = relay
        self._inner = inner

    def eof_received(self) -> bool:
        """Close this direction alone."""
        self._relay.outer_eof()
        return True

    def pause_writing(self) -> None:
        """Read no more of the inner connection until there is room."""
        self._relay.pause_inner()

    def resume_writing(self) -> None:
        """Read on."""
        self._relay.resume_inner()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other side likewise."""
        self._relay.outer_lost(exc)


class BufferedOuterEnd(OuterEnd, asyncio.BufferedProtocol):
    """Reads into the thread's buffer."""

    def get_buffer(self, sizehint: int) -> Any:  # noqa: ANN401 (typeshed's buffer)
        """Offer it."""
        return _scratch.view

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what came."""
        self._inner.write(_scratch.view[:nbytes])


class PlainOuterEnd(OuterEnd, asyncio.Protocol):
    """Reads objects."""

    def data_received(self, data: bytes) -> None:
        """Pass on what came."""
        self._inner.write(data)


class InnerEnd(asyncio.Protocol):
    """What comes out of the tunnel goes to the outer connection."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._outer = relay.outer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for ``Relay.start``; uvloop does not, but there it is no matter what is written first."""
        # Its transports are of no class of asyncio's.
        self._relay.inner = cast("asyncio.Transport", transport)
        self._relay.inner.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Pass on what came."""
        self._outer.write(data)

    def eof_received(self) -> bool:
        """Close this direction alone."""
        self._relay.inner_eof()
        return True

    def pause_writing(self) -> None:
        """Read no more from outside until there is room."""
        self._relay.pause_outer()

    def resume_writing(self) -> None:
        """Read on."""
        self._relay.resume_outer()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other side likewise."""
        self._relay.inner_lost(exc)


def reset(transport: asyncio.Transport) -> None:
    """End a connection of this machine so that its other side sees a reset, and not an orderly end."""
    held = transport.get_extra_info("socket")
    if held is not None and not transport.is_closing():
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
