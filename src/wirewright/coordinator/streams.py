"""The streams to gateways that one process has open, so that none outlives its use.

A gateway whose network was lost comes back before its old stream is seen to be dead: then the oldest is
ended.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

EACH: Final = 2
"""Streams of one gateway, at most."""


@dataclass(slots=True)
class Streams:
    """Open streams, each an event that asks it to end."""

    _open: dict[str, deque[asyncio.Event]] = field(default_factory=dict)
    _over: bool = False

    @contextmanager
    def opened(self, gateway_id: str) -> Iterator[asyncio.Event]:
        """Give the event that asks this stream to end; ask the oldest one to, if there are too many."""
        ending = asyncio.Event()
        if self._over:
            ending.set()
        mine = self._open.setdefault(gateway_id, deque())
        if len(mine) >= EACH:
            mine.popleft().set()
        mine.append(ending)
        try:
            yield ending
        finally:
            if ending in mine:
                mine.remove(ending)
            if not mine and self._open.get(gateway_id) is mine:
                del self._open[gateway_id]

    def end_all(self) -> None:
        """Ask all to end, and those that come later: the server is going."""
        self._over = True
        for mine in self._open.values():
            for ending in mine:
                ending.set()

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))
