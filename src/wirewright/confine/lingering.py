"""How long the tunnel outlives its command, so that what the command sent arrives.

# Theory

On any host a program may write to a connection, close it and end: its kernel sends the rest. That of the
command's network can do so only as long as the tunnel is there. So the tunnel waits until nothing is left of
what lay there when the command ended (:mod:`~wirewright.confine.queues` looks). Less than ever is progress.

- As long as something is unacknowledged, :data:`SILENCE` may pass without progress; else packets wait for a
  handshake, for which :data:`HANDSHAKE` may pass.
- After :data:`LONGEST` it ends in any case.
- Time in which this process was stopped, or got no processor, is nobody's silence: from one look to the next
  :data:`_MOST` counts at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SILENCE: Final = 10.0
"""Seconds without progress of TCP: time for its repetitions, and for a handshake that is repeated once."""
HANDSHAKE: Final = 6.0
"""Seconds that packets may wait for a session: a handshake that gets no answer is repeated after 5 s."""
LONGEST: Final = 300.0
"""Seconds in all: at 1 Mbit/s, the send queues of nine connections (4 MiB at most, tcp(7))."""
_FIRST: Final = 0.01
_MOST: Final = 0.25
"""Seconds between two looks; each is twice as long after the other."""


@dataclass(frozen=True, slots=True)
class Left:
    """What has not gone out yet."""

    connections: int = 0
    """Of TCP, that have something in their send queues."""
    unacknowledged: int = 0
    """Bytes in those; the end of a stream counts as one."""
    is_queued: bool = False
    """Whether there are packets that the engine has not read."""
    staged: int = 0
    """Bytes of packets that wait in the engine for a session."""

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.unacknowledged or self.is_queued or self.staged)

    def __str__(self) -> str:
        """Say what did not arrive."""
        if self.connections:
            noun = "connection" if self.connections == 1 else "connections"
            return f"not all that was sent on {self.connections} {noun} has arrived"
        return "a peer did not answer: the last packets to it were dropped"


class Lingering:
    """Decides when to look again. Times are seconds of a monotonic clock."""

    def __init__(self, now: float) -> None:
        self._looked = now
        self._passed = 0.0
        self._silent = 0.0
        self._pause = _FIRST / 2
        self._least: int | None = None

    def pause(self, now: float, left: Left) -> float | None:
        """Tell how long to wait before the next look; None if nothing is left, or it takes too long."""
        elapsed = min(now - self._looked, _MOST)
        self._looked = now
        self._passed += elapsed
        self._silent += elapsed
        size = left.unacknowledged + left.staged
        if self._least is None or size < self._least:
            self._least, self._silent = size, 0.0
        limit = SILENCE if left.unacknowledged else HANDSHAKE
        if not left or self._silent >= limit or self._passed >= LONGEST:
            return None
        self._pause = min(2 * self._pause, _MOST)
        return self._pause
