"""One task of a gateway: it has the engine be what the core says."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from wirewright.gateway.engine import UnfitError
from wirewright.host.errors import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wirewright.gateway.back_off import BackOff
    from wirewright.gateway.core import GatewayCore
    from wirewright.gateway.engine import GatewayEngine, Service

LOOK: Final = 1.0
"""Seconds within which the clock is looked at again while a device expires: it may be set, or the machine
sleep."""
_SECOND: Final = 1_000_000


class Driver:
    """Gives the engine changes, one at a time, and again all after one that it could not do."""

    def __init__(
        self,
        core: GatewayCore,
        engine: GatewayEngine,
        clock: Callable[[], int],
        tell: Callable[[str], None],
        back_off: BackOff,
    ) -> None:
        self._core, self._engine, self._clock, self._tell = core, engine, clock, tell
        self._back_off = back_off
        self._work = asyncio.Event()
        self._failing = False
        self.began: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the engine and all services have begun; it has the error if they could not."""
        self.applied: int | None = None
        """The newest revision that the engine has."""
        self.is_kept = False
        """Whether it begins with what was kept, which the coordinator may put right."""
        self.changes = 0
        self.failures = 0

    def wake(self) -> None:
        """Have it look whether there is something to do."""
        self._work.set()

    def mend(self) -> None:
        """Have it give the engine everything again, which may have lost something."""
        self._core.lost()
        self._work.set()

    async def run(self, services: Sequence[Service]) -> None:
        """Drive until cancelled. Raises OSError, or whatever it is, if the engine cannot begin.

        Where only what was kept cannot be, it waits for the coordinator to say something else: the next start
        would have the same.
        """
        async with AsyncExitStack() as serving:
            while True:
                await self._wait()
                try:
                    await self._drive()
                    if not self.began.done() and self._core.revision is not None:
                        for service in services:
                            await serving.enter_async_context(service.serving(self._engine, self._core))
                        self.began.set_result(None)
                except Exception as error:
                    # Whatever it is: to go on with what is there is better than to end.
                    if not (self.began.done() or (self.is_kept and _is_of_what_was_told(error))):
                        self.began.set_exception(error)
                        raise
                    self._failed(error)
                    await asyncio.sleep(self._back_off.next())

    async def _drive(self) -> None:
        revision, change = self._core.revision, self._core.change(self._clock())
        if change is not None:
            try:
                await self._engine.apply(change)
            except BaseException:
                self._core.lost()
                raise
            self.changes += 1
        self.applied = revision
        self._back_off.succeeded()
        if self._failing:
            self._failing = False
            self._tell("the interface is as it should be again")

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self._work.set()
        if not self._failing:
            self._failing = True
            self._tell(f"the interface could not be changed, and will be mended: {words(error)}")

    async def _wait(self) -> None:
        """Wait until something was told or a device may expire."""
        deadline = self._core.deadline()
        pause = None if deadline is None else min(max(deadline - self._clock(), 0), LOOK * _SECOND) / _SECOND
        try:
            async with asyncio.timeout(pause):
                await self._work.wait()
        except TimeoutError:
            return
        self._work.clear()


def _is_of_what_was_told(error: Exception) -> bool:
    """Whether an error would not be there had something else been told; an OSError is the host's."""
    return isinstance(error, UnfitError) or not isinstance(error, OSError)
