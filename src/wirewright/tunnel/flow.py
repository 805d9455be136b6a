"""When a protocol is told to stop and to resume writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

DEFAULT_HIGH = 64 * 1024


class WriteFlow:
    """High and low water of one transport's write buffer, and the state its protocol was told."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.BaseTransport) -> None:
        self._loop = loop
        self._transport = transport
        self._paused = False
        self.high = DEFAULT_HIGH
        self.low = DEFAULT_HIGH // 4

    def set_limits(self, high: int | None, low: int | None) -> None:
        """Set the limits in bytes as ``WriteTransport.set_write_buffer_limits`` describes them."""
        if high is None:
            high = DEFAULT_HIGH if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self.high, self.low = high, low

    def update(self, size: int, protocol: asyncio.BaseProtocol) -> None:
        """Tell ``protocol`` what a buffer of ``size`` bytes means for it, if it does not know already."""
        if size > self.high and not self._paused:
            self._paused = True
            self._call("pause_writing", protocol)
        elif self._paused and size <= self.low:
            self._paused = False
            self._call("resume_writing", protocol)

    def _call(self, method: str, protocol: asyncio.BaseProtocol) -> None:
        try:
            getattr(protocol, method)()
        except Exception as error:  # a protocol's fault must not lose bytes of its neighbours
            self._loop.call_exception_handler(
                {
                    "message": f"protocol.{method}() failed",
                    "exception": error,
                    "transport": self._transport,
                    "protocol": protocol,
                }
            )
