"""What the parts of one open tunnel share."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from wirewright.tunnel.errors import TunnelClosed
from wirewright.tunnel.membership import Membership

if TYPE_CHECKING:
    from wirewright._core import RootlessTunnel
    from wirewright.tunnel.dispatch import Dispatcher
    from wirewright.tunnel.forward import Forward
    from wirewright.tunnel.forwarding import Forwarding
    from wirewright.tunnel.peers import PeerBook
    from wirewright.tunnel.server import TunnelServer
    from wirewright.tunnel.tunnel import Tunnel


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a tunnel waits before it says what is wrong, in seconds.

    ``handshake`` bounds how long a connection or a question waits for a peer that has no session; the
    protocol sends an initiation every 5 s, so the default allows three. ``linger`` is how long closing the
    tunnel waits for connections closed before it whose last bytes are not acknowledged yet.
    """

    endpoint: float = 10.0
    handshake: float = 15.0
    connect: float = 30.0
    ping: float = 5.0
    resolve: float = 10.0
    linger: float = 2.0


class TunnelOptions(TypedDict, total=False):
    """What ``Tunnel`` takes besides the configuration."""

    listen_address: str | None
    shards: int
    timeouts: Timeouts | None
    forwarding: Forwarding | None


class Lingering:
    """Connections that were closed, and whose last bytes are not acknowledged yet."""

    def __init__(self) -> None:
        self._ids: set[int] = set()
        self._none = asyncio.Event()
        self._none.set()

    def add(self, ident: int) -> None:
        """Enter a connection."""
        self._ids.add(ident)
        self._none.clear()

    def discard(self, ident: int) -> None:
        """Remove a connection; unknown ones are fine."""
        self._ids.discard(ident)
        if not self._ids:
            self._none.set()

    def clear(self) -> None:
        """Forget all: the core is gone."""
        self._ids.clear()
        self._none.set()

    async def wait(self, limit: float) -> None:
        """Wait until none is left, at most ``limit`` seconds."""
        try:
            async with asyncio.timeout(limit):
                await self._none.wait()
        except TimeoutError:
            return


@dataclass(slots=True)
class Context:
    """One open tunnel, as its parts see it."""

    tunnel: Tunnel
    loop: asyncio.AbstractEventLoop
    core: RootlessTunnel
    dispatcher: Dispatcher
    peers: PeerBook
    timeouts: Timeouts
    # Of the outer addresses that the UDP socket can reach.
    outer_family: socket.AddressFamily = socket.AF_UNSPEC
    lingering: Lingering = field(default_factory=Lingering)
    servers: set[TunnelServer] = field(default_factory=set)
    forwards: set[Forward] = field(default_factory=set)
    membership: Membership = field(init=False)
    # Why the tunnel ended, if it was not closed on purpose.
    reason: str | None = None

    def __post_init__(self) -> None:
        self.membership = Membership(self)

    def closed_error(self) -> TunnelClosed:
        """Say that the tunnel is closed, and why if it was not closed on purpose."""
        because = f": {self.reason}" if self.reason else ""
        return TunnelClosed(f"The tunnel is closed{because}.")
