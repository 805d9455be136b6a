"""Figures as words: bytes, times, and what a rule of a policy lets through. Filters for templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, Final

from wirewright.client import phrases
from wirewright.coordinator.api.models import key_text
from wirewright.coordinator.clock import to_datetime
from wirewright.coordinator.web import rules

if TYPE_CHECKING:
    from wirewright.coordinator.services.devices import DeviceDetails

_UNITS: Final = ("B", "KB", "MB", "GB", "TB", "PB")
_STEPS: Final = ((60, "s", 1), (3600, "min", 60), (86_400, "h", 3600), (float("inf"), "days", 86_400))


def size(number: int) -> str:
    """Return bytes in words: ``1.5 MB``, in steps of a thousand."""
    value, unit = float(number), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    # As scripts round: the page would else change where nothing does.
    places = "1" if unit == 0 or value >= 99.5 else "0.1"
    return f"{Decimal(value).quantize(Decimal(places), ROUND_HALF_UP)} {_UNITS[unit]}"


def moment(at: int) -> datetime:
    """Return microseconds since 1970 as a time."""
    return to_datetime(at)


def iso(at: int) -> str:
    """Return microseconds since 1970 as scripts and ``<time>`` read them."""
    return to_datetime(at).isoformat(timespec="seconds").replace("+00:00", "Z")


def exact(at: int) -> str:
    """Return microseconds since 1970 as people read them when they want it exactly."""
    return f"{to_datetime(at):%Y-%m-%d %H:%M:%S} UTC"


def relative(at: int, now: int) -> str:
    """Return how long ago, or in how long, something is."""
    seconds = (now - at) / 1_000_000
    distance = abs(seconds)
    if distance < 2:
        return "now"
    _, unit, divisor = next(step for step in _STEPS if distance < step[0])
    # What is to come is told as it was chosen: in 7 days, and not in 6 and a half.
    count = int(distance // divisor) if seconds > 0 else int(distance / divisor + 0.5)
    if unit == "days" and count == 1:
        unit = "day"
    return f"{count} {unit} ago" if seconds > 0 else f"in {count} {unit}"


def device_state(details: DeviceDetails, now: int) -> str:
    """Return ``online``, ``idle`` or ``off``: a handshake is young, is not, or the device is cut off."""
    if not details.device.active:
        return "off"
    return "online" if details.is_online(now) else "idle"


def details_in_words(detail: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return what an entry of the audit log has besides who and what; ``names`` by identifier."""
    shown = {
        name: names.get(value, value) if isinstance(value, str) else value for name, value in detail.items()
    }
    return ", ".join(f"{name.replace('_', ' ')} {_value(name, value)}" for name, value in shown.items())


def _value(name: str, value: object) -> str:
    if name.endswith("_at") and isinstance(value, int) and not isinstance(value, bool):
        return exact(value)
    if name.endswith("_at") and value is None:
        return "never"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        return "; ".join(map(phrases.rule_in_words, value))
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return str(value)


def browser(agent: str) -> str:
    """Return a browser as people know it, from its ``User-Agent``: which one, on what."""
    names = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"))
    systems = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux")
    name = next((name for mark, name in names if mark in agent), "Safari" if "Safari/" in agent else "")
    system = next((system for system in systems if system in agent), "")
    if not name:
        return agent[:40] or "a program"
    return f"{name} on {system}" if system else name


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "size": size,
    "moment": moment,
    "iso": iso,
    "exact": exact,
    "relative": relative,
    "key": key_text,
    "device_state": device_state,
    "browser": browser,
    "details_in_words": details_in_words,
    "policy_in_words": rules.in_words,
    "policy_as_text": rules.as_text,
}
