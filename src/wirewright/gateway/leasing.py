"""A server of leases beside a gateway's engine: devices ask it for addresses, a coordinator keeps them.

Who asks is known by the link-local address that follows from its key, which the gateway has among the
device's allowed IPs (``identities`` of :func:`wirewright.gateway.running.running`). What the server grants
is kept by the coordinator first. Then two give it to the interface: the server, so that the client has it
with the answer, and the coordinator, as a change for the gateway, so that it stays whatever becomes of the
server. Both say the same.

::

    waiting ──the interface is there, and the leases were read──▶ serving
       ▲                                                            │
       └──it cannot begin, or the interface is another by now───────┘

A gateway without its coordinator is one all the same: leases that are there go on, and the server begins
as soon as it can read which these are.
"""

from __future__ import annotations

import asyncio
import random
import socket
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from wirewright.dynamic import LeaseServer, LeaseService, Settings, SystemPeers, TunnelPeers
from wirewright.dynamic.clocks import SystemClock
from wirewright.dynamic.linklocal import found_by_clients
from wirewright.gateway.back_off import BackOff
from wirewright.gateway.engines.rootless import RootlessEngine
from wirewright.gateway.engines.system import SystemEngine
from wirewright.host.errors import words
from wirewright.tunnel.system import InterfaceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from wirewright.config.values import IPNetwork
    from wirewright.dynamic import LeaseStore, Peers, View
    from wirewright.gateway.engine import GatewayEngine, Told
    from wirewright.keys import PublicKey

    _IsSame = Callable[[], Awaitable[bool]]

LONGEST: Final = 30 * 86_400
"""Seconds of a lease; a coordinator refuses longer ones."""
LOOK: Final = 1.0
"""Seconds after which it is looked whether the interface is the same still."""
QUIET: Final = 60.0
"""Seconds without a trouble after which it is told anew."""


@dataclass(frozen=True, slots=True)
class GatewayPeers:
    """The peers of a gateway's interface. A :class:`~wirewright.dynamic.Peers`.

    Addresses come from the pools that the coordinator names, and it says which allowed IPs are leases.
    """

    peers: Peers
    told: Told

    async def view(self) -> View:
        """Tell how it is now."""
        return replace(await self.peers.view(), pools=self.told.pools, leased=self.told.leased)

    async def change(
        self, key: PublicKey, added: Sequence[IPNetwork] = (), removed: Sequence[IPNetwork] = ()
    ) -> None:
        """Give a peer allowed IPs, and take some away."""
        await self.peers.change(key, added, removed)

    async def add_like(self, old: PublicKey, new: PublicKey, networks: Sequence[IPNetwork]) -> None:
        """Add a peer with the preshared key of another."""
        await self.peers.add_like(old, new, networks)

    async def succeed(self, old: PublicKey, new: PublicKey, networks: Sequence[IPNetwork]) -> None:
        """Put a peer in the place of another."""
        await self.peers.succeed(old, new, networks)

    async def remove(self, key: PublicKey) -> None:
        """Remove a peer."""
        await self.peers.remove(key)


@dataclass(slots=True)
class Leases:
    """Serves leases on a gateway's engine. A :class:`~wirewright.gateway.engine.Service`."""

    store: LeaseStore
    settings: Settings = field(default_factory=Settings)
    tell: Callable[[str], None] = lambda _: None
    """Hears, in words for a person, of what goes wrong and is tried again; of each trouble once."""
    clock: SystemClock = field(default_factory=SystemClock)
    server: LeaseServer | None = None
    """While it serves."""
    _trouble: str = ""
    _trouble_at: float = 0.0

    def __post_init__(self) -> None:
        if self.settings.terms.lease_time > LONGEST:
            raise ValueError(f"a coordinator keeps leases of {LONGEST} seconds at most")

    @asynccontextmanager
    async def serving(self, engine: GatewayEngine, told: Told) -> AsyncIterator[None]:
        """Serve while the block runs, as far as that can be."""
        if not isinstance(engine, SystemEngine | RootlessEngine):
            raise TypeError(f"leases are not served on {engine.description}")
        task = asyncio.create_task(self._keep_serving(engine, told))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep_serving(self, engine: SystemEngine | RootlessEngine, told: Told) -> None:
        back_off = BackOff(random.random)
        while True:
            try:
                async with self._served(engine, told) as is_same:
                    back_off.succeeded()
                    while await is_same():  # noqa: ASYNC110 - no event tells
                        await asyncio.sleep(LOOK)
            except Exception as error:
                # Whatever it is, such as a mistake of ours, is told, and does not end it for good.
                self._tell_once(f"leases are not served yet: {words(error)}")
                await asyncio.sleep(back_off.next())

    @asynccontextmanager
    async def _served(self, engine: SystemEngine | RootlessEngine, told: Told) -> AsyncIterator[_IsSame]:
        """Serve on what the engine has now, and give what tells whether it has the same still."""
        if isinstance(engine, SystemEngine):
            serving = self._on_interface(engine, told)
        else:
            serving = self._in_tunnel(engine, told)
        async with serving as is_same:
            try:
                yield is_same
            finally:
                self.server = None

    @asynccontextmanager
    async def _on_interface(self, engine: SystemEngine, told: Told) -> AsyncIterator[_IsSame]:
        name = engine.name
        if engine.host_engine is None:
            raise InterfaceError(f"{name} is not there")
        service = self._service(SystemPeers(engine.host_engine, name, told.pools), told)
        index = socket.if_nametoindex(name)
        link_local = await asyncio.to_thread(found_by_clients, name)
        try:
            async with LeaseServer.on_interface(service, name, tell=self._tell_once) as self.server:

                async def is_same() -> bool:
                    with suppress(OSError):
                        return socket.if_nametoindex(name) == index
                    return False

                yield is_same
        finally:
            await asyncio.to_thread(link_local.restore)

    @asynccontextmanager
    async def _in_tunnel(self, engine: RootlessEngine, told: Told) -> AsyncIterator[_IsSame]:
        tunnel = engine.tunnel
        if tunnel is None:
            raise OSError("the tunnel is not open")
        service = self._service(TunnelPeers(tunnel, told.pools), told)
        async with LeaseServer.in_tunnel(service, tunnel, tell=self._tell_once) as self.server:

            async def is_same() -> bool:
                return engine.tunnel is tunnel and not tunnel.closed

            yield is_same

    def _service(self, peers: Peers, told: Told) -> LeaseService:
        return LeaseService(GatewayPeers(peers, told), self.store, self.clock, self.settings)

    def _tell_once(self, trouble: str) -> None:
        now = self.clock.monotonic()
        if trouble != self._trouble or now - self._trouble_at > QUIET:
            self.tell(trouble)
        self._trouble, self._trouble_at = trouble, now
