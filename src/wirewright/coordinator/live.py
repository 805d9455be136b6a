"""What devices do, as it happens, for those who look: one reader a process, any number of listeners.

# Theory

The reader sleeps until the bulletin has news of `LIVE`, or the next device is online no more: a handshake
grows old without anybody telling. It reads what changed once, makes a *sight* of each device, and hands it
to the listeners who show that device. So all of it costs what changed, times those who look at it, and
nothing costs what there is.

A listener that does not keep up loses the older sights of a device, never the newest: a sight waits under its
device's name, and a newer one takes its place. What waits is thus bounded by what is shown.

Rates are differences of successive reports. The last `SAMPLES` of each device are kept for who comes later,
for the `DEVICES` that reported last.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import OrderedDict, deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from wirewright.coordinator.clock import SECOND
from wirewright.coordinator.errors import CoordinatorError, TooManyError
from wirewright.coordinator.services import live
from wirewright.coordinator.services.devices import ONLINE
from wirewright.coordinator.storage.bulletin import LIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wirewright.coordinator.services.access import Caller
    from wirewright.coordinator.services.devices import DeviceDetails
    from wirewright.coordinator.storage import Storage

SAMPLES: Final = 60
DEVICES: Final = 10_000
SHOWN: Final = 200
"""Devices that one listener shows, at most."""
OF_ONE: Final = 16
"""Listeners of one user, at most."""
AGAIN: Final = 10
"""Seconds after which one that was too many may have a place."""
_PAUSE: Final = 0.2
"""Seconds between two reads, so that many changes at once are read together."""
_LONGEST: Final = 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes a second, from and to a device, up to a time."""

    at: int
    received: float
    sent: float


@dataclass(slots=True)
class _Traffic:
    at: int
    received: int
    sent: int
    rates: deque[Rate] = field(default_factory=lambda: deque(maxlen=SAMPLES))


@dataclass(eq=False, slots=True)
class Listener:
    """One who shows some devices."""

    caller: Caller
    shown: frozenset[str]
    waiting: dict[str, dict[str, Any]] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, device_id: str, sight: dict[str, Any]) -> None:
        """Have a sight wait, in the place of an older one."""
        self.waiting.pop(device_id, None)
        self.waiting[device_id] = sight
        self.news.set()

    def take(self) -> list[dict[str, Any]]:
        """Return what waits."""
        found, self.waiting = list(self.waiting.values()), {}
        self.news.clear()
        return found


class Hub:
    """The reader of one process, and its listeners."""

    def __init__(self) -> None:
        self._traffic: OrderedDict[str, _Traffic] = OrderedDict()
        self._listeners: dict[str, set[Listener]] = {}
        """By device."""
        self._of_user: dict[str | None, int] = {}
        self._ends: list[tuple[int, str]] = []
        """When devices that are shown are online no more, the earliest first; some may be out of date."""
        self._end_of: dict[str, int] = {}
        """The one that holds for each of them."""
        self._nearer = asyncio.Event()
        """Set when the reader has to wake up earlier than it meant to."""
        self.reads = 0

    @contextmanager
    def listening(self, caller: Caller, shown: frozenset[str]) -> Iterator[Listener]:
        """Listen to devices; raise `TooManyError` if the user has too many listeners."""
        if self._of_user.get(caller.user_id, 0) >= OF_ONE:
            error = TooManyError(f"You have {OF_ONE} pages open that follow devices; close some.")
            error.retry_after = AGAIN
            raise error
        listener = Listener(caller, shown)
        self._of_user[caller.user_id] = self._of_user.get(caller.user_id, 0) + 1
        for device_id in shown:
            self._listeners.setdefault(device_id, set()).add(listener)
        try:
            yield listener
        finally:
            self._of_user[caller.user_id] -= 1
            if not self._of_user[caller.user_id]:
                del self._of_user[caller.user_id]
            for device_id in shown:
                rest = self._listeners[device_id]
                rest.discard(listener)
                if not rest:
                    del self._listeners[device_id]

    @property
    def ends(self) -> int:
        """How many devices are waited for to go offline."""
        return len(self._ends)

    def rates(self, device_id: str) -> list[Rate]:
        """Return a device's last rates, the oldest first."""
        traffic = self._traffic.get(device_id)
        return [] if traffic is None else list(traffic.rates)

    def sight(self, details: DeviceDetails, now: int) -> dict[str, Any]:
        """Return a device as those see it who show it; times in milliseconds since 1970."""
        report, device = details.report, details.device
        rates = self.rates(device.id)
        is_online = details.is_online(now)
        if is_online and report is not None and report.latest_handshake is not None:
            self._ends_at(device.id, report.latest_handshake + ONLINE)
        return {
            "id": device.id,
            "name": device.name,
            "state": "online" if is_online else "idle" if device.active else "off",
            "enabled": device.enabled,
            "latest_handshake": _milliseconds(report.latest_handshake if report else None),
            "received": report.received if report else 0,
            "sent": report.sent if report else 0,
            "endpoint": report.endpoint if report else "",
            "at": _milliseconds(report.at if report else None),
            "received_rate": round(rates[-1].received) if rates else 0,
            "sent_rate": round(rates[-1].sent) if rates else 0,
        }

    async def run(self, storage: Storage) -> None:
        """Read what changes, and hand it on, until cancelled."""
        with storage.bulletin.subscribe(LIVE) as news:
            cursor = await storage.read(live.begin)
            while True:
                self._nearer.clear()
                waiting = [asyncio.ensure_future(each.wait()) for each in (news, self._nearer)]
                try:
                    pause = self._wait(storage.clock())
                    await asyncio.wait(waiting, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for each in waiting:
                        each.cancel()
                news.clear()
                try:
                    await self._read(storage, cursor)
                except CoordinatorError as error:
                    _log.warning("what devices do could not be read: %s", error)
                await asyncio.sleep(_PAUSE)

    async def _read(self, storage: Storage, cursor: live.Cursor) -> None:
        has_more = True
        while has_more:
            found = await storage.read(live.after, cursor)
            has_more = found.has_more
            self.reads += 1
            for details in found.changed:
                self._note(details)
                self._hand_on(details, storage.clock())
            for device_id in found.gone:
                self._traffic.pop(device_id, None)
                for listener in self._listeners.get(device_id, ()):
                    listener.put(device_id, {"id": device_id, "state": "gone"})
        await self._tell_ended(storage)

    def _note(self, details: DeviceDetails) -> None:
        """Take a report into account for the rates."""
        report = details.report
        if report is None:
            return
        known = self._traffic.get(report.device_id)
        if known is None:
            self._traffic[report.device_id] = _Traffic(report.at, report.received, report.sent)
            while len(self._traffic) > DEVICES:
                self._traffic.popitem(last=False)
            return
        self._traffic.move_to_end(report.device_id)
        seconds = (report.at - known.at) / SECOND
        if seconds <= 0:
            return
        received, sent = report.received - known.received, report.sent - known.sent
        if received >= 0 and sent >= 0:
            known.rates.append(Rate(report.at, received / seconds, sent / seconds))
        # Else the interface is a new one, which counts from the beginning.
        known.at, known.received, known.sent = report.at, report.received, report.sent

    def _hand_on(self, details: DeviceDetails, now: int) -> None:
        device = details.device
        listeners = self._listeners.get(device.id, ())
        if not listeners:
            return
        sight = self.sight(details, now)
        for listener in listeners:
            if not listener.caller.only_own or device.user_id == listener.caller.user_id:
                listener.put(device.id, sight)

    async def _tell_ended(self, storage: Storage) -> None:
        """Tell of devices whose last handshake has grown too old."""
        now = storage.clock()
        over = set()
        while self._ends and self._ends[0][0] <= now:
            at, device_id = heapq.heappop(self._ends)
            if self._end_of.get(device_id) == at:
                del self._end_of[device_id]
                over.add(device_id)
        shown = sorted(over & self._listeners.keys())
        if shown:
            for details in await storage.read(live.these, shown):
                self._hand_on(details, now)

    def _ends_at(self, device_id: str, at: int) -> None:
        """Note when a device is online no more; once for each handshake, however many look at it."""
        if self._end_of.get(device_id) == at:
            return
        self._end_of[device_id] = at
        if not self._ends or at < self._ends[0][0]:
            self._nearer.set()
        heapq.heappush(self._ends, (at, device_id))

    def _wait(self, now: int) -> float:
        if not self._ends:
            return _LONGEST
        return min(_LONGEST, max(0.0, (self._ends[0][0] - now) / SECOND))


def _milliseconds(at: int | None) -> int | None:
    return None if at is None else at // 1000
