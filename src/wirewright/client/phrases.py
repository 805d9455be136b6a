"""What people say of policies and times, as the API takes it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

RULE: Final = "NETWORK[,NETWORK] [any|tcp|udp|icmp [PORT[-PORT],…]]"
"""How a rule is said."""
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"([0-9]{1,6})([smhdw])", re.ASCII)
_POLICY_BYTES: Final = 200 * 1024


def rule(text: str) -> dict[str, Any]:
    """Return a rule as the API takes it, its values not looked at; raise `ValueError` for what is none."""
    words = text.split()
    if not 1 <= len(words) <= 3:
        raise ValueError(f"{text[:100]!r} is no rule; one is said as '{RULE}'")
    found: dict[str, Any] = {"destinations": words[0].split(",")}
    if len(words) > 1:
        found["protocol"] = words[1]
    if len(words) > 2:
        found["ports"] = words[2].split(",")
    return found


def rule_in_words(data: dict[str, Any]) -> str:
    """Return a rule as people say it."""
    words = [",".join(map(str, data["destinations"]))]
    if data.get("protocol", "any") != "any" or data.get("ports"):
        words.append(str(data.get("protocol", "any")))
    if data.get("ports"):
        words.append(",".join(data["ports"]))
    return " ".join(words)


def policy(file: Path) -> list[dict[str, Any]]:
    """Read a policy from a file of JSON; raise `ValueError` for what is none."""
    with file.open("rb") as opened:
        text = opened.read(_POLICY_BYTES + 1)
    try:
        data = json.loads(text) if len(text) <= _POLICY_BYTES else None
    except ValueError as error:
        raise ValueError(f"{file} is no JSON: {error}") from None
    if not isinstance(data, list):
        raise ValueError(f"{file} holds no policy: that is a list of rules")
    return data


def span(text: str) -> timedelta:
    """Read how long something lasts, such as ``90m`` or ``30d``; raise `ValueError`."""
    match = _SPAN.fullmatch(text)
    if match is None or not int(match[1]):
        raise ValueError(f"{text[:100]!r} is no time span, such as 90m, 12h, 30d or 4w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def moment(text: str, now: datetime) -> str:
    """Read when something ends, a time span from ``now`` or a time of ISO 8601, and return it as the latter.

    A time without a zone is UTC. Raises `ValueError`.
    """
    if _SPAN.fullmatch(text):
        try:
            return (now + span(text)).isoformat()
        except OverflowError:
            raise ValueError(f"{text} from now is beyond all calendars") from None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text[:100]!r} is neither a time span, such as 30d, nor a time, such as 2027-01-31T12:00:00Z"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()
