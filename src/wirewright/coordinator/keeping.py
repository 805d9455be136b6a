"""The shell around `services.expiry`: waits for the next deadline or for news, and clears up now and then."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from wirewright.coordinator.clock import HOUR, SECOND
from wirewright.coordinator.errors import CoordinatorError
from wirewright.coordinator.login import sessions
from wirewright.coordinator.services import clearing, expiry
from wirewright.coordinator.storage.bulletin import DEADLINES

if TYPE_CHECKING:
    from wirewright.coordinator.context import Coordinator

_log = logging.getLogger(__name__)

LONGEST: Final = 30.0
"""Seconds without a look: what a lost notification, or a clock that was set, can cost."""
_AGAIN: Final = 1.0
"""Seconds after a failure."""


async def keep(coordinator: Coordinator) -> None:
    """End what expires within a fraction of a second, until cancelled."""
    storage = coordinator.storage
    cleared = 0
    with storage.bulletin.subscribe(DEADLINES) as news:
        while True:
            news.clear()
            try:
                deadline = await storage.write(expiry.expire)
                if storage.clock() >= cleared + HOUR:
                    cleared = storage.clock()
                    await storage.write(clearing.clear)
                    await storage.write(sessions.clear)
                wait = pause(deadline, storage.clock())
            except CoordinatorError as error:
                # The database is away or full: what expires is ended as soon as it is back.
                coordinator.metrics.kept.inc()
                _log.warning("what expires could not be looked at: %s", error)
                wait = _AGAIN
            try:
                async with asyncio.timeout(wait):
                    await news.wait()
            except TimeoutError:
                pass


def pause(deadline: int | None, now: int) -> float:
    """Return the seconds to wait for a deadline (µs), or for nothing."""
    return LONGEST if deadline is None else min(LONGEST, max(0.0, (deadline - now) / SECOND))
