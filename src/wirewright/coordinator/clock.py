"""Time as the coordinator keeps it: whole microseconds since 1970, UTC."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

Clock: TypeAlias = Callable[[], int]
"""Tells the wall time, in microseconds since 1970."""

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def wall_clock() -> int:
    """Return the time of the system's clock."""
    return time.time_ns() // 1000


def to_datetime(instant: int) -> datetime:
    """Return an instant as an aware `datetime`."""
    return _EPOCH + timedelta(microseconds=instant)


def from_datetime(moment: datetime) -> int:
    """Return an aware `datetime` as an instant."""
    return (moment - _EPOCH) // timedelta(microseconds=1)
