"""One task of a gateway: it keeps in a file what it was told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from wirewright.host.errors import words

if TYPE_CHECKING:
    from collections.abc import Callable

    from wirewright.gateway.core import GatewayCore
    from wirewright.gateway.instructions import Instruction
    from wirewright.gateway.kept import StateFile


MOST_WAITING: Final = 4096
"""Instructions that wait to be written; if there are more, all is written anew."""


class Keeper:
    """Writes what was told; what cannot be written is told of, and written with the next."""

    def __init__(
        self, file: StateFile, core: GatewayCore, clock: Callable[[], int], tell: Callable[[str], None]
    ) -> None:
        self._file, self._core, self._clock, self._tell = file, core, clock, tell
        self._waiting: list[Instruction] = []
        self._anew = False
        """Whether something that came before what waits was passed over."""
        self._work = asyncio.Event()
        self._closing = False
        self._failing = False
        self.failures = 0

    def add(self, told: Instruction) -> None:
        """Have an instruction kept that the core has taken."""
        if len(self._waiting) >= MOST_WAITING:
            self._anew = True
            self._waiting.clear()
        self._waiting.append(told)
        self._work.set()

    def close(self) -> None:
        """Have ``run`` end when all is written."""
        self._closing = True
        self._work.set()

    async def run(self) -> None:
        """Keep until closed. It is not to be cancelled, since a file is written by one at a time."""
        while self._waiting or not self._closing:
            await self._work.wait()
            self._work.clear()
            await self._flush()
            if self._waiting or self._closing:
                self._work.set()

    async def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        anew, self._anew = self._anew, False
        if not waiting:
            return
        now = self._clock()
        try:
            if not anew and self._file.takes(waiting, self._core.count):
                await asyncio.to_thread(self._file.add, waiting, now)
            elif (state := self._core.state()) is not None:
                await asyncio.to_thread(self._file.write, state, now)
        except OSError as error:
            self.failures += 1
            if not self._failing:
                self._failing = True
                self._tell(
                    "what was told could not be kept, so that a restart while the coordinator is away would "
                    f"begin with what was told before: {words(error)}"
                )
        else:
            self._failing = False
