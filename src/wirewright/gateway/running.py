"""A gateway at work: it follows a coordinator, has its engine be what it is told, and reports.

The decisions are :class:`~wirewright.gateway.core.GatewayCore`'s. Here four tasks are put together: one
follows the source, one drives the engine, one keeps what was done in the state file, one watches the engine
and reports. A coordinator that is away is none of the engine's business: what is there stays, devices expire
by the gateway's own clock, and a restart begins with what was kept.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from wirewright.gateway.back_off import BackOff
from wirewright.gateway.core import GatewayCore
from wirewright.gateway.driving import Driver
from wirewright.gateway.following import Follower
from wirewright.gateway.keeping import Keeper
from wirewright.gateway.kept import StateFile
from wirewright.gateway.reporting import Report, Reporter
from wirewright.gateway.watching import Watcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from wirewright.gateway.engine import GatewayEngine, Observed, Service
    from wirewright.gateway.instructions import Instruction, Source


def wall_clock() -> int:
    """Tell the time, in microseconds since 1970."""
    return time.time_ns() // 1000


def _silent(_: str) -> None:
    pass


@asynccontextmanager
async def running(
    source: Source,
    engine: GatewayEngine,
    *,
    state_file: Path | None = None,
    report: Report | None = None,
    tell: Callable[[str], None] = _silent,
    services: Sequence[Service] = (),
    identities: bool = False,
    clock: Callable[[], int] = wall_clock,
    draw: Callable[[], float] = random.random,
) -> AsyncIterator[RunningGateway]:
    """Run a gateway while the block does; the engine is taken away when it ends.

    ``tell`` hears, in words for a person, of what goes wrong and is mended. The engine begins when there is
    something for it to be: await :meth:`RunningGateway.ready`. ``identities`` gives devices the link-local
    addresses by which a server of leases, one of the ``services``, knows them. ``clock`` gives microseconds
    since 1970, ``draw`` numbers from 0 to 1.

    Raises OSError: what was kept in ``state_file`` cannot be read.
    """
    gateway = RunningGateway(source, engine, state_file, report, tell, identities, clock, draw)
    await gateway._begin(services)
    try:
        yield gateway
    finally:
        await gateway._end()


class RunningGateway:
    """A gateway between its beginning and its end, for who looks after it."""

    def __init__(  # noqa: PLR0917 - as `running` takes them
        self,
        source: Source,
        engine: GatewayEngine,
        state_file: Path | None,
        report: Report | None,
        tell: Callable[[str], None],
        identities: bool,
        clock: Callable[[], int],
        draw: Callable[[], float],
    ) -> None:
        self.engine = engine
        self._clock = clock
        self._floor = 0
        self._core = GatewayCore(identities=identities)
        self._follower = Follower(source, self._core, self._heard, tell, BackOff(draw))
        self._driver = Driver(self._core, engine, self._now, tell, BackOff(draw))
        self._watcher = Watcher(engine, self._driver, Reporter(self._core.owner), report, tell)
        self._file = None if state_file is None else StateFile(state_file)
        self._keeper = None if self._file is None else Keeper(self._file, self._core, self._now, tell)
        self._tasks: list[asyncio.Task[None]] = []
        self._keeping: asyncio.Task[None] | None = None

    @property
    def applied(self) -> int | None:
        """The newest revision that the engine has."""
        return self._driver.applied

    @property
    def revision(self) -> int | None:
        """The newest revision that was told."""
        return self._core.revision

    @property
    def devices(self) -> int:
        """How many devices have a place on the interface."""
        return len(self._core.members)

    @property
    def connected(self) -> bool:
        """Whether the connection to the coordinator is there."""
        return self._follower.connected

    @property
    def observed(self) -> Sequence[Observed]:
        """The peers, as they were seen last."""
        return self._watcher.observed

    @property
    def counters(self) -> dict[str, int]:
        """Tell how often something happened."""
        return {
            "connections": self._follower.connections,
            "changes": self._driver.changes,
            "failed_changes": self._driver.failures,
            "expired_devices": self._core.expired,
            "left_out_addresses": self._core.left_out,
            "reported_devices": self._watcher.reports,
            "failed_writes": self._keeper.failures if self._keeper else 0,
        }

    async def ready(self) -> None:
        """Wait until the engine has what was told first. Raises OSError: it could not begin."""
        await asyncio.shield(self._driver.began)

    async def ended(self) -> None:
        """Wait for an error that ends the gateway, and raise it; without one, wait for ever."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()

    async def _begin(self, services: Sequence[Service]) -> None:
        if self._file is not None and (kept := await asyncio.to_thread(self._file.load)) is not None:
            self._floor = kept.at
            for told in kept.instructions:
                self._core.take(told)
            self._driver.is_kept = True
            self._driver.wake()
        tasks = (self._follower.run(), self._driver.run(services), self._watcher.run())
        self._tasks = [asyncio.create_task(task) for task in tasks]
        if self._keeper is not None:
            self._keeping = asyncio.create_task(self._keeper.run())

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._driver.began.cancel()
        if self._keeper is not None and self._keeping is not None:
            self._keeper.close()
            await self._keeping
        await self.engine.close()

    def _now(self) -> int:
        """Tell the time; until the coordinator was heard, none before that of what was kept.

        A machine whose clock does not outlive a reboot would have devices back that have expired.
        """
        now = self._clock()
        return now if self._follower.was_heard else max(now, self._floor)

    def _heard(self, told: Instruction) -> None:
        self._driver.wake()
        if self._keeper is not None:
            self._keeper.add(told)
