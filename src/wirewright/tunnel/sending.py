"""Bytes on their way into the core: what it takes at once, and what must wait for room."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wirewright._core import Connection


class SendBuffer:
    """What the core has not taken yet of one connection's output; ``size`` in bytes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._chunks: deque[bytes | memoryview] = deque()
        self.size = 0

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Hand ``data`` to the core behind what waits already; raises what the core raises."""
        if not self._chunks:
            view = data if isinstance(data, bytes) else memoryview(data).cast("B")
            taken = self._connection.write(view)
            if taken == len(view):
                return
            data = memoryview(view)[taken:]
        # The caller may change its buffer after we return: keep a copy.
        copy = bytes(data)
        self._chunks.append(copy)
        self.size += len(copy)
        self.flush()

    def flush(self) -> None:
        """Move what waits into the core until it takes no more: only then an event will follow."""
        while self._chunks:
            chunk = self._chunks[0]
            taken = self._connection.write(chunk)
            if not taken:
                return
            self.size -= taken
            if taken == len(chunk):
                self._chunks.popleft()
            else:
                self._chunks[0] = memoryview(chunk)[taken:]

    def clear(self) -> None:
        """Drop what waits."""
        self._chunks.clear()
        self.size = 0
