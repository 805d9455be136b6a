"""How long something lasts, as forms offer it."""

from __future__ import annotations

import re
from typing import Final

from wirewright.coordinator.clock import SECOND
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
_FORM: Final = re.compile(r"([0-9]{1,5})([smhd])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def span(text: str) -> int | None:
    """Read a choice, in microseconds; ``None`` for "never"."""
    if not text:
        return None
    match = _FORM.fullmatch(text)
    if match is None or not int(match[1]):
        raise InvalidError(f"{text[:40]!r} is no time, such as 12h or 30d.")
    return int(match[1]) * _SECONDS[match[2]] * SECOND


def ends(text: str, now: int) -> int | None:
    """Return when something that begins now is over, in microseconds since 1970; ``None`` for never."""
    length = span(text)
    return None if length is None else now + length
