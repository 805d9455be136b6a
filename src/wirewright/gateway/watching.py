"""One task of a gateway: it looks at the engine, and reports what changed."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from wirewright.host.errors import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wirewright.gateway.driving import Driver
    from wirewright.gateway.engine import GatewayEngine, Observed
    from wirewright.gateway.reporting import Report, Reporter

PERIOD: Final = 0.5
"""Seconds from look to look. A handshake, or another endpoint, is told with the next one."""
COUNTERS: Final = 5.0
"""Seconds between two reports of what is only counted: devices that transfer something do so all the time."""
SHARE: Final = 20
"""So many times as long as a look took, it is until the next, at least: thousands of peers take a while.

What the coordinator takes for a report is not counted: it is no work of the engine's.
"""
LOOKS: Final = 3
"""Last looks of which the quickest counts: one that waited for a busy machine tells not what a look costs."""
QUIET: Final = 30.0
"""Seconds after which the coordinator hears of a gateway whose devices are quiet: that it is there."""


class Pace:
    """How often it is looked, by what looks take."""

    def __init__(self) -> None:
        self._took = deque([0.0] * LOOKS, LOOKS)

    def pause(self, took: float, since: float) -> float:
        """Return the seconds until the next look, after one that ``took`` so long and began so long ago."""
        self._took.append(took)
        return max(PERIOD - since, SHARE * min(self._took))


class Watcher:
    """Sees whether the engine is there, and tells the coordinator of its peers."""

    def __init__(
        self,
        engine: GatewayEngine,
        driver: Driver,
        reporter: Reporter,
        report: Report | None,
        tell: Callable[[str], None],
    ) -> None:
        self._engine, self._driver, self._reporter, self._report = engine, driver, reporter, report
        self._tell = tell
        self.observed: Sequence[Observed] = ()
        """What was seen last."""
        self.reports = 0
        self._counted_at: float | None = None
        """When counters were reported last."""
        self._heard_at: float | None = None
        """When the coordinator last took a report."""
        self._refused = ""
        """Why it took none the last time."""
        self._pace = Pace()

    async def run(self) -> None:
        """Watch until cancelled, once the engine has begun."""
        loop = asyncio.get_running_loop()
        await asyncio.wait({self._driver.began})
        if self._driver.began.exception() is not None:
            return
        while True:
            began = loop.time()
            try:
                self.observed = await self._engine.observe()
            except Exception as error:
                took = loop.time() - began
                self._tell(f"the interface does not answer, and is set up again: {words(error)}")
                self._driver.mend()
            else:
                took = loop.time() - began
                await self._tell_coordinator()
            await asyncio.sleep(self._pace.pause(took, loop.time() - began))

    async def _tell_coordinator(self) -> None:
        if self._report is None:
            return
        now = asyncio.get_running_loop().time()
        is_due = self._heard_at is None or now >= self._heard_at + QUIET
        counts = self._counted_at is None or now >= self._counted_at + COUNTERS
        if counts:
            self._counted_at = now
        for reports in self._reporter.reports(self.observed, counts=counts) or ([[]] if is_due else []):
            try:
                await self._report(reports)
            except Exception as error:
                # The same is reported next time. That the coordinator is away, the follower tells as well.
                if (why := words(error)) != self._refused:
                    self._refused = why
                    self._tell(f"what was reported did not reach the coordinator: {why}")
                return
            self._refused = ""
            self._heard_at = now
            self._reporter.reported(reports)
            self.reports += len(reports)
