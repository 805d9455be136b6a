"""One task of a gateway: it follows the coordinator, and comes back whenever that ends."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from wirewright.gateway.core import GapError
from wirewright.host.errors import words

if TYPE_CHECKING:
    from collections.abc import Callable

    from wirewright.gateway.back_off import BackOff
    from wirewright.gateway.core import GatewayCore
    from wirewright.gateway.instructions import Instruction, Source

STEADY: Final = 5.0
"""Seconds after which a connection that ends was one: the next pause is short again."""
REASONS: Final = 8
"""Reasons of one absence that are told."""


class Follower:
    """Gives the core what a source says."""

    def __init__(
        self,
        source: Source,
        core: GatewayCore,
        heard: Callable[[Instruction], None],
        tell: Callable[[str], None],
        back_off: BackOff,
    ) -> None:
        """``heard`` is called with what the core has taken."""
        self._source, self._core, self._heard, self._tell = source, core, heard, tell
        self._back_off = back_off
        self._wants_state = False
        self._told: set[str] = set()
        """Why it is away, each reason once: a network that comes back may show that a credential is old."""
        self.connected = False
        self.was_heard = False
        """Whether the coordinator was there at all."""
        self.connections = 0

    async def run(self) -> None:
        """Follow until cancelled. What ends the source, whatever it is, does not end the gateway."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._follow()
                why = "it ended the connection"
            except GapError:
                self._wants_state = True
                why = "a change was missed, and all is asked for again"
            except Exception as error:
                why = words(error)
            self.connected = False
            if why not in self._told and len(self._told) < REASONS:
                self._told.add(why)
                self._tell(f"the coordinator is away, and devices stay as they are: {why}")
            if loop.time() - began > STEADY:
                self._back_off.succeeded()
            await asyncio.sleep(self._back_off.next())

    async def _follow(self) -> None:
        after = None if self._wants_state else self._core.revision
        async with aclosing(self._source.follow(after, None if after is None else self._core.log)) as told:
            async for instruction in told:
                self._is_there()
                if instruction is not None and self._core.take(instruction):
                    self._wants_state = False
                    self._heard(instruction)

    def _is_there(self) -> None:
        if not self.connected:
            self.connected = self.was_heard = True
            self.connections += 1
        if self._told:
            self._told.clear()
            self._tell("the coordinator is back")
