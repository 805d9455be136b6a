"""What a gateway reports of its devices: what changed since it was last reported, and no more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from wirewright.gateway.engine import Observed
    from wirewright.keys import PublicKey

AT_ONCE: Final = 500
"""Devices of one report, so that it has less than 128 KiB."""


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """A device as its gateway sees it."""

    device_id: str
    received: int
    """Bytes of datagrams since the interface is there."""
    sent: int
    latest_handshake: int | None
    """Microseconds since 1970."""
    endpoint: str | None


Report: TypeAlias = Callable[[Sequence[DeviceReport]], Awaitable[object]]
"""Takes a report to the coordinator. It raises OSError where that cannot be now."""


class Reporter:
    """Remembers what the coordinator was told of each device."""

    def __init__(self, owner: Callable[[PublicKey], str | None]) -> None:
        """``owner`` gives the id of the device that has a key."""
        self._owner = owner
        self._told: dict[str, DeviceReport] = {}

    def reports(self, observed: Sequence[Observed], *, counts: bool = True) -> list[list[DeviceReport]]:
        """Give what is to be reported, `AT_ONCE` at once; devices that never spoke are passed over.

        Without ``counts`` a device of which only counters are other ones is passed over, too.
        """
        found: list[DeviceReport] = []
        present = set()
        for each in observed:
            device_id = self._owner(each.public_key)
            if device_id is None:
                continue
            present.add(device_id)
            report = DeviceReport(device_id, each.received, each.sent, each.latest_handshake, each.endpoint)
            told = self._told.get(device_id)
            if told is None:
                is_new = _says_something(report)
            else:
                is_new = told != report if counts else _whereabouts(told) != _whereabouts(report)
            if is_new:
                found.append(report)
        for device_id in self._told.keys() - present:
            del self._told[device_id]
        return [found[at : at + AT_ONCE] for at in range(0, len(found), AT_ONCE)]

    def reported(self, reports: Sequence[DeviceReport]) -> None:
        """Note that the coordinator has them."""
        self._told |= {report.device_id: report for report in reports}


def _says_something(report: DeviceReport) -> bool:
    return bool(report.received or report.sent or report.latest_handshake)


def _whereabouts(report: DeviceReport) -> tuple[int | None, str | None]:
    return report.latest_handshake, report.endpoint
