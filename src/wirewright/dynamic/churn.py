"""How often a client may connect, ask, and exchange addresses: token buckets by address or key."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable

MAX_CLIENTS: Final = 4096
"""Whose buckets are remembered; beyond that the one used longest ago is forgotten, and full again."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once, and one more each so many seconds."""

    burst: int
    seconds: float


REQUESTS: Final = Rate(30, 1.0)
CHANGES: Final = Rate(8, 60.0)
"""Addresses that come or go. Keeping a lease is none."""
CONNECTIONS: Final = Rate(30, 1.0)
"""Each has the whole interface read, to tell whose it is."""


class Buckets:
    """One bucket a client. Time is monotonic, in seconds."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable, now: float) -> bool:
        """Take one, if there is one."""
        level = self._level(key, now)
        if level < 1:
            return False
        self._buckets[key] = level - 1, now
        self._buckets.move_to_end(key)
        while len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return True

    def move(self, old: Hashable, new: Hashable, now: float) -> None:
        """Give one client what another has left, if that is less than its own."""
        if old in self._buckets:
            self._buckets[new] = min(self._level(old, now), self._level(new, now)), now
            del self._buckets[old]

    def wait(self, key: Hashable, now: float) -> float:
        """Tell how many seconds pass until there is one."""
        return max(0.0, (1 - self._level(key, now)) * self._rate.seconds)

    def _level(self, key: Hashable, now: float) -> float:
        level, since = self._buckets.get(key, (float(self._rate.burst), now))
        return min(float(self._rate.burst), level + max(0.0, now - since) / self._rate.seconds)
