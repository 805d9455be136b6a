"""Connections that ask nothing: how long each may last, and how many one source has.

uvicorn begins to count only after its first answer, and stops at the next byte. Here a whole head of a
request is due, or else the connection ends: so many seconds after it began, and after each answer. What is
being answered is not bounded here; a stream may last.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from wirewright.coordinator.limits import network

if TYPE_CHECKING:
    from asyncio.transports import BaseTransport

PATIENCE: Final = 10
"""Seconds in which the head of a request is to come."""
KEEP_ALIVE: Final = 30
"""Seconds for which a connection is kept after an answer, until the next request begins."""
OF_ONE: Final = 128
"""Connections of one source, at most. All who come through a proxy are one, so that it is not for them."""


@dataclass(slots=True)
class Sources:
    """How many connections each source has."""

    most: int | None = OF_ONE
    _counts: Counter[str] = field(default_factory=Counter)

    def enter(self, source: str) -> bool:
        """Count one more; say whether it may stay."""
        self._counts[source] += 1
        return self.most is None or self._counts[source] <= self.most

    def leave(self, source: str) -> None:
        """Count one less."""
        self._counts[source] -= 1
        if self._counts[source] <= 0:
            del self._counts[source]


def bounded(sources: Sources) -> type[H11Protocol]:
    """Return uvicorn's protocol with these bounds."""
    return type("Bounded", (_Bounded,), {"sources": sources})


class _Bounded(H11Protocol):
    sources: ClassVar[Sources]
    _due: asyncio.TimerHandle | None = None
    _source = ""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._source = network(self.client[0]) if self.client else ""
        if self.sources.enter(self._source):
            self._expect(PATIENCE)
        else:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        self.sources.leave(self._source)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before and not self.cycle.response_complete:
            self._expect_nothing()

    def on_response_complete(self) -> None:
        answered = self.cycle
        super().on_response_complete()
        # Unless the next request was there already.
        if self.cycle is answered and not self.transport.is_closing():
            self._expect(KEEP_ALIVE + PATIENCE)

    def _expect(self, seconds: float) -> None:
        self._expect_nothing()
        self._due = self.loop.call_later(seconds, self._end)

    def _expect_nothing(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _end(self) -> None:
        self._due = None
        self.transport.abort()
