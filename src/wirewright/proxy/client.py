"""What the clients of both kinds of proxy have in common: admission, patience, and the way to a relay."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from wirewright.proxy.counters import ProxyCounters
from wirewright.tunnel.crowd import Crowd
from wirewright.tunnel.relay import Relay, reset

if TYPE_CHECKING:
    from wirewright.proxy.credentials import Credentials
    from wirewright.tunnel import Tunnel


@dataclass(frozen=True, slots=True)
class Limits:
    """What one listener allows."""

    connections: int = 1024
    # UDP associations, each with two sockets.
    associations: int = 64
    # Seconds from a connection to its whole request, and of rest between two of one connection.
    patience: float = 15.0
    rest: float = 60.0


@dataclass(slots=True)
class Door:
    """What the clients of one listener share."""

    tunnel: Tunnel
    credentials: Credentials | None
    limits: Limits = field(default_factory=Limits)
    counters: ProxyCounters = field(default_factory=ProxyCounters)
    crowd: Crowd = field(init=False)
    associations: int = 0

    def __post_init__(self) -> None:
        self.crowd = Crowd(self.limits.connections, self.counters)


class Client(asyncio.Protocol):
    """One connection to a proxy until it is relayed or over."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.transport: asyncio.Transport
        self.relay: Relay | None = None
        self.task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Come in, if there is room."""
        # uvloop's transports are of no class of asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        if self.door.crowd.admit(self):
            _keep_alive(self.transport)
            self.expect(self.door.limits.patience)
        else:
            reset(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave, and let go of what was under way."""
        self.expect(None)
        if self.task is not None:
            self.task.cancel()
        self.door.crowd.leave(self)

    def abort(self) -> None:
        """End now."""
        if self.relay is not None:
            self.relay.abort()
        else:
            reset(self.transport)

    def expect(self, seconds: float | None) -> None:
        """Close unless something comes within that time; with None the time does not matter any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds is not None:
            left = self.transport.get_write_buffer_size()
            self._timer = asyncio.get_running_loop().call_later(seconds, self._late, seconds, left)

    def _late(self, seconds: float, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if 0 < left < before:
            # Slow to take its answer, and not late.
            self.expect(seconds)
            return
        self.door.counters.late += 1
        if left:
            # Closing would wait for who does not read.
            reset(self.transport)
        else:
            self.transport.close()

    async def connect(self, host: str, port: int) -> Relay:
        """Connect through the tunnel, in a relay that is to be started."""
        relay = Relay(self.transport, lambda: self.door.crowd.leave(self))
        try:
            await self.door.tunnel.create_connection(lambda: relay.inner_end, host, port)
        except OSError:
            self.door.counters.unreachable += 1
            raise
        return relay

    def hand_over(self, relay: Relay, early: bytes, *, ended: bool, full: bool = False) -> None:
        """Let the relay do the rest."""
        self.relay = relay
        relay.start(early, ended=ended, full=full)


# The kernel asks who was silent for so long, so often, and gives up after so many questions: a client that
# vanished off the network holds its place for some minutes, and not for ever.
_KEEP_ALIVE = {"TCP_KEEPIDLE": 120, "TCP_KEEPINTVL": 30, "TCP_KEEPCNT": 4}


def _keep_alive(transport: asyncio.Transport) -> None:
    held = transport.get_extra_info("socket")
    if held is not None:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE.items():
            # Not every system has each of them.
            if (option := getattr(socket, name, None)) is not None:
                held.setsockopt(socket.IPPROTO_TCP, option, value)
