"""A series of pings, and what they amount to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wirewright.tunnel.errors import HandshakeTimeoutError, PingTimeoutError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wirewright.tunnel.arguments import Address
    from wirewright.tunnel.tunnel import Tunnel


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of one ping: its round trip in seconds, or why there is none."""

    sequence: int
    seconds: float | None
    failure: str | None = None


@dataclass(slots=True)
class Summary:
    """Sums over the replies so far."""

    replies: list[Reply] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Pings that were sent."""
        return len(self.replies)

    @property
    def round_trips(self) -> list[float]:
        """The round trips of those that were answered, in seconds."""
        return [reply.seconds for reply in self.replies if reply.seconds is not None]

    @property
    def received(self) -> int:
        """Pings that were answered."""
        return len(self.round_trips)

    @property
    def loss(self) -> float:
        """The share that was not answered, from 0 to 1."""
        return 1 - self.received / self.sent if self.sent else 0.0


async def ping_series(
    tunnel: Tunnel,
    address: Address,
    *,
    count: int | None,
    interval: float,
    timeout: float,  # noqa: ASYNC109 (of each ping)
) -> AsyncIterator[Reply]:
    """Ping ``count`` times (None: for ever), one ping each ``interval`` seconds or when the last one ends.

    A ping without answer is a reply too; any other error (no route, the tunnel is closed) is raised.
    """
    loop = asyncio.get_running_loop()
    sequence = 0
    while count is None or sequence < count:
        sequence += 1
        due = loop.time() + interval
        try:
            reply = Reply(sequence, await tunnel.ping(str(address), timeout=timeout))
        except (PingTimeoutError, HandshakeTimeoutError, UnreachableError) as error:
            reply = Reply(sequence, None, str(error))
        yield reply
        if sequence != count:
            await asyncio.sleep(max(0.0, due - loop.time()))
