"""How long something lasts, as forms offer it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from wirewright.client import phrases
from wirewright.coordinator.errors import InvalidError

CHOICES: Final = (
    ("", "never"),
    ("1h", "in an hour"),
    ("1d", "in a day"),
    ("7d", "in a week"),
    ("30d", "in 30 days"),
    ("90d", "in 90 days"),
    ("365d", "in a year"),
)
LONGEST: Final = timedelta(days=36_600)


def span(text: str) -> int | None:
    """Read a choice, in microseconds; ``None`` for "never"."""
    if not text:
        return None
    try:
        length = phrases.span(text)
    except ValueError as error:
        raise InvalidError(f"{error}.") from None
    if length > LONGEST:
        raise InvalidError(f"{text} is longer than a hundred years.")
    return length // timedelta(microseconds=1)


def ends(text: str, now: int) -> int | None:
    """Return when something that begins now is over, in microseconds since 1970; ``None`` for never."""
    length = span(text)
    return None if length is None else now + length
