"""What `ww proxy` listens with: proxies and forwards here, and servers inside the tunnel.

Each is opened once, says where it listens in ``describe``, counts in ``counters``, and is closed once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from wirewright.proxy.addresses import Pair, Place, is_loopback
from wirewright.proxy.client import Door, Limits
from wirewright.proxy.http_client import HttpClient
from wirewright.proxy.socks_client import SocksClient
from wirewright.tunnel.crowd import Counters, Crowd, Passage
from wirewright.tunnel.forward import Forward, listen_here

if TYPE_CHECKING:
    from collections.abc import Callable

    from wirewright.proxy.credentials import Credentials
    from wirewright.tunnel import Tunnel
    from wirewright.tunnel.server import TunnelServer


# As long as a tunnel has for its side.
CONNECT_SECONDS = 30.0


class OpenToOthersError(ValueError):
    """A listener would let in whoever reaches this machine."""


class Listener(Protocol):
    """One of the below."""

    kind: str

    @property
    def counters(self) -> Counters:
        """What became of its connections."""

    @property
    def to(self) -> Place | None:
        """Where its connections lead, if to one place."""

    async def open(self) -> Place:
        """Listen; return where."""

    async def close(self) -> None:
        """Listen no more, and end what there is."""


class _Proxy:
    kind: str
    to = None
    client: type[SocksClient | HttpClient]

    def __init__(
        self,
        tunnel: Tunnel,
        listen: Place,
        credentials: Credentials | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Prepare to listen; off the loopback only with credentials."""
        self.check(listen, credentials)
        self._listen = listen
        self._door = Door(tunnel, credentials, limits or Limits())
        self._server: asyncio.Server | None = None

    @classmethod
    def check(cls, listen: Place, credentials: Credentials | None) -> None:
        """Raise if it would let in whoever reaches this machine."""
        if credentials is None and not is_loopback(listen.host):
            raise OpenToOthersError(
                f"A {cls.kind} proxy on {listen} would let everybody who reaches this machine into the "
                "private network: give it credentials, or let it listen on 127.0.0.1 or [::1]."
            )

    @property
    def counters(self) -> Counters:
        """What became of its connections and datagrams."""
        return self._door.counters

    async def open(self) -> Place:
        """Listen; return where."""
        self._server, address = await listen_here(lambda: self.client(self._door), *self._listen)
        return Place(*address)

    async def close(self) -> None:
        """Listen no more, and reset the connections."""
        if self._server is not None:
            self._server.close()
        await self._door.crowd.close()


class Socks5Proxy(_Proxy):
    """A SOCKS 5 proxy: CONNECT and UDP ASSOCIATE, names asked inside the tunnel."""

    kind = "SOCKS5"
    client = SocksClient


class HttpProxy(_Proxy):
    """An HTTP proxy: CONNECT for any port, and plain http."""

    kind = "HTTP"
    client = HttpClient


class LocalForward:
    """A port of this machine's loopback that leads to one behind the tunnel."""

    kind = "forward"

    def __init__(self, tunnel: Tunnel, pair: Pair, limits: Limits | None = None) -> None:
        """Prepare to listen, on the loopback only: nobody is asked who he is."""
        self.check(pair.listen)
        self.to = pair.to
        self._listen = pair.listen
        self._forward = Forward(
            tunnel, (pair.to.host, pair.to.port), connections=(limits or Limits()).connections
        )

    @classmethod
    def check(cls, listen: Place) -> None:
        """Raise if it would let in whoever reaches this machine."""
        if not is_loopback(listen.host):
            raise OpenToOthersError(
                f"A forward on {listen} would let everybody who reaches this machine into the private "
                "network, and cannot ask who it is: let it listen on 127.0.0.1 or [::1], or use a proxy with "
                "credentials."
            )

    @property
    def counters(self) -> Counters:
        """What became of its connections."""
        return self._forward.crowd.counters

    async def open(self) -> Place:
        """Listen; return where."""
        return Place(*await self._forward.open(*self._listen))

    async def close(self) -> None:
        """Listen no more, and reset the connections."""
        await self._forward.close()


class Exposure:
    """A port inside the tunnel that leads to one that this machine reaches."""

    kind = "expose"

    def __init__(self, tunnel: Tunnel, pair: Pair, limits: Limits | None = None) -> None:
        """Prepare to listen inside the tunnel, where the peers' allowed IPs say who can connect."""
        self.to = pair.to
        self._tunnel = tunnel
        self._listen = pair.listen
        self._crowd = Crowd((limits or Limits()).connections)
        self._server: TunnelServer | None = None

    @property
    def counters(self) -> Counters:
        """What became of its connections."""
        return self._crowd.counters

    async def open(self) -> Place:
        """Listen; return where."""
        self._server = await self._tunnel.create_server(
            self._passage, self._listen.port, self._listen.host or None, backlog=128
        )
        return Place(*self._server.addresses[0])

    async def close(self) -> None:
        """Listen no more, and reset the connections."""
        if self._server is not None:
            self._server.close()
        await self._crowd.close()

    def _passage(self) -> Passage:
        return Passage(self._crowd, self._connect)

    async def _connect(self, make: Callable[[], asyncio.BaseProtocol]) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().create_connection(make, *self.to)
