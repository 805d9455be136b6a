"""How long to wait before another attempt: longer each time, and not in step with others.

Gateways that lost one coordinator at one moment must not come back at one moment. Each waits a random part
of a bound that doubles ("full jitter": Brooker, Exponential Backoff and Jitter, 2015).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST: Final = 0.25
"""Seconds that the first wait has at most."""
LONGEST: Final = 30.0
"""Seconds that any wait has at most."""


class BackOff:
    """The waits of one row of attempts; ``draw`` gives numbers from 0 to 1."""

    def __init__(self, draw: Callable[[], float] = random.random, *, longest: float = LONGEST) -> None:
        self._draw = draw
        self._longest = longest
        self._bound = FIRST

    def next(self) -> float:
        """Give the seconds to wait before the next attempt."""
        bound = self._bound
        self._bound = min(2 * bound, self._longest)
        return bound * self._draw()

    def succeeded(self) -> None:
        """Begin anew, after an attempt that led to something."""
        self._bound = FIRST
