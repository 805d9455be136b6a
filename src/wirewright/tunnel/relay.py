"""Two connections as one: bytes, their ends and resets go over from each to the other.

The outer connection is a socket of this machine, the inner one a `StreamTransport`. Each end is the protocol
of its transport and writes to the other's:

    both open --end of one stream--> half open --end of the other--> closing (buffers drain) --> over
    any state --reset or error of one side--> the other is reset --> over

While one side does not take what is written to it, the other is not read (RFC 9293 section 3.8 does the rest).
Outer bytes are read into one buffer for all connections of a thread, since the inner transport keeps none of
it; inner ones come as objects that the outer transport may keep.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any, cast

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

    def start(self, early: bytes = b"", *, ended: bool = False) -> None:
        """Take over both connections: ``early`` is what came from outside already, ``ended`` if that is all."""
        inner = self._inner()
        if early:
            inner.write(early)
        if self.outer.is_closing():
            # It ended while we connected, and told a protocol that is no more.
            self.outer_lost(ConnectionAbortedError())
            return
        # Paused while the protocol changes: uvloop chooses how to read when reading starts.
        self.outer.pause_reading()
        self.outer.set_protocol(OuterEnd(self, inner))
        if ended:
            self.outer_eof()
        else:
            self.outer.resume_reading()
        inner.resume_reading()

    def abort(self) -> None:
        """Reset both connections."""
        reset(self.outer)
        if self.inner is not None:
            self.inner.abort()

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
            to.write_eof()
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

    def outer_lost(self, error: BaseException | None) -> None:
        """End the inner connection as the outer one has ended."""
        already, self._outer_lost = self._outer_lost, True
        if already:
            return
        if error is not None:
            self._inner().abort()
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


class OuterEnd(asyncio.BufferedProtocol):
    """What the outer connection brings goes into the tunnel."""

    def __init__(self, relay: Relay, inner: asyncio.Transport) -> None:
        self._relay = relay
        self._inner = inner
        self._view = _scratch.view

    def get_buffer(self, sizehint: int) -> Any:  # noqa: ANN401 (typeshed's buffer)
        """Offer the thread's buffer."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what came."""
        self._inner.write(self._view[:nbytes])

    def eof_received(self) -> bool:
        """Close this direction alone."""
        self._relay.outer_eof()
        return True

    def pause_writing(self) -> None:
        """Read no more from the tunnel until there is room."""
        self._inner.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        self._inner.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other side likewise."""
        self._relay.outer_lost(exc)


class InnerEnd(asyncio.Protocol):
    """What comes out of the tunnel goes to the outer connection."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._outer = relay.outer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for ``Relay.start``."""
        # uvloop's transports are of no class of asyncio's.
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
