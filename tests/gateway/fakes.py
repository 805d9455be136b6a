"""An engine and a coordinator that fail, and come back, when a test wants it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .models import Coordinator, Engine

if TYPE_CHECKING:
    from wirewright.gateway.engine import Observed
    from wirewright.gateway.instructions import Device, Instruction
    from wirewright.gateway.members import EngineChange


async def until(true: Callable[[], bool]) -> None:
    """Wait for what others do in this event loop, or in a thread."""
    async with asyncio.timeout(40):
        while not true():  # noqa: ASYNC110 (no event tells)
            await asyncio.sleep(0.001)


@dataclass
class FakeEngine:
    """A model behind the protocol; it refuses, or is gone, when asked to."""

    model: Engine = field(default_factory=Engine)
    refusals: int = 0
    gone: bool = False
    whole: int = 0
    looks: int = 0
    closed: bool = False
    observed: tuple[Observed, ...] = ()
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    description = "a model"

    async def apply(self, change: EngineChange) -> None:
        await self.gate.wait()
        if self.refusals:
            self.refusals -= 1
            raise OSError(5, "no")
        if change.whole:
            self.whole += 1
            if self.gone:
                self.model, self.gone = Engine(), False
        self.model.apply(change)

    async def observe(self) -> Sequence[Observed]:
        if self.gone:
            raise OSError(19, "there is no such interface")
        self.looks += 1
        return self.observed

    async def counters(self) -> dict[str, int]:
        return {}

    async def close(self) -> None:
        self.closed = True


@dataclass
class FakeSource:
    """Tells what a coordinator of the models says, unless it is away."""

    coordinator: Coordinator = field(default_factory=Coordinator)
    away: bool = False
    asked: list[tuple[int | None, str | None]] = field(default_factory=list)
    skips: int = 0
    """Instructions that get lost on the way."""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, device: Device) -> None:
        self.coordinator.put(device)
        self.news.set()

    def leave(self) -> None:
        self.away = True
        self.news.set()

    async def follow(
        self, after: int | None = None, log: str | None = None
    ) -> AsyncGenerator[Instruction | None]:
        if self.away:
            raise ConnectionRefusedError(111, "nobody is there")
        self.asked.append((after, log))
        yield None
        revision = after
        while not self.away:
            self.news.clear()
            for told in self.coordinator.after(revision):
                revision = told.revision
                if self.skips:
                    self.skips -= 1
                else:
                    yield told
            await self.news.wait()
        raise ConnectionResetError(104, "it has gone")
