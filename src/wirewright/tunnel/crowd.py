"""The connections of one listener on their way through a tunnel: how many there may be, and how they end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from wirewright.tunnel.relay import Relay, reset

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    # Makes the inner connection, joined with the protocol it is given.
    Connect = Callable[[Callable[[], asyncio.BaseProtocol]], Awaitable[object]]


@dataclass(slots=True)
class Counters:
    """What became of the connections of one listener."""

    accepted: int = 0
    # Beyond the limit: reset at once.
    refused: int = 0
    # The other side, in the tunnel or here, could not be connected to.
    unreachable: int = 0


class Member(Protocol):
    """One connection of a crowd."""

    def abort(self) -> None:
        """End now."""


class Crowd:
    """All connections of one listener."""

    def __init__(self, limit: int, counters: Counters | None = None) -> None:
        """Hold at most ``limit`` connections at once."""
        self.counters = counters or Counters()
        self._limit = limit
        self._members: set[Member] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._members)

    def admit(self, member: Member) -> bool:
        """Count a connection in; false if it must be reset, because there are too many."""
        if self._closed or len(self._members) >= self._limit:
            self.counters.refused += 1
            return False
        self.counters.accepted += 1
        self._members.add(member)
        return True

    def leave(self, member: Member) -> None:
        """Count a connection out; one that is out already is fine."""
        self._members.discard(member)

    def spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run work for a connection in a task that is not lost."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Reset every connection and end every task; admit nobody any more."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for member in list(self._members):
            member.abort()
        if tasks:
            await asyncio.wait(tasks)
        # Transports tell their end by the loop.
        await asyncio.sleep(0)


class Passage(asyncio.Protocol):
    """An outer connection while its inner one is made by ``connect``; then both are relayed."""

    def __init__(self, crowd: Crowd, connect: Connect) -> None:
        self._crowd = crowd
        self._connect = connect
        self._relay: Relay | None = None
        self._outer: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._early = b""
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to connect."""
        # uvloop's transports are of no class of asyncio's.
        self._outer = cast("asyncio.Transport", transport)
        if self._crowd.admit(self):
            self._task = self._crowd.spawn(self._join(self._outer))
        else:
            reset(self._outer)

    def data_received(self, data: bytes) -> None:
        """Keep what comes early, and let the rest wait in the socket."""
        self._early += data
        if self._outer is not None:
            self._outer.pause_reading()

    def eof_received(self) -> bool:
        """Keep the end in mind."""
        self._ended = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up: it has ended before it could be joined."""
        if self._task is not None:
            self._task.cancel()
        self._crowd.leave(self)

    def abort(self) -> None:
        """End now."""
        if self._relay is not None:
            self._relay.abort()
        elif self._outer is not None:
            reset(self._outer)

    async def _join(self, outer: asyncio.Transport) -> None:
        relay = Relay(outer, lambda: self._crowd.leave(self))
        try:
            await self._connect(lambda: relay.inner_end)
        except OSError:
            self._crowd.counters.unreachable += 1
            reset(outer)
            return
        self._relay = relay
        relay.start(self._early, ended=self._ended)
        self._early = b""
