"""The clocks of this machine, for the shells."""

from __future__ import annotations

import sys
import time

_CLOCK = time.CLOCK_BOOTTIME if sys.platform == "linux" else time.CLOCK_MONOTONIC
"""It goes on while the machine sleeps."""


class SystemClock:
    """Time that passes as it does, whoever sets the machine's clock meanwhile."""

    def __init__(self) -> None:
        self._offset = time.time() - self.monotonic()

    def monotonic(self) -> float:
        """Seconds since the machine was started, asleep or not."""
        return time.clock_gettime(_CLOCK)

    def wall(self) -> int:
        """Seconds since 1970, as the clock said at the start, and what has passed since."""
        return int(self.monotonic() + self._offset)
