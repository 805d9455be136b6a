"""A server on a system interface, from its beginning to its end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wirewright.dynamic.clocks import SystemClock
from wirewright.dynamic.files import FileLeaseStore
from wirewright.dynamic.identity import is_identity
from wirewright.dynamic.interfaces import SystemPeers
from wirewright.dynamic.linklocal import found_by_clients
from wirewright.dynamic.pools import Pools
from wirewright.dynamic.server import LeaseServer
from wirewright.dynamic.service import LeaseService
from wirewright.tunnel.system import InterfaceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from wirewright.config.values import IPNetwork
    from wirewright.dynamic.linklocal import LinkLocal
    from wirewright.dynamic.service import Settings
    from wirewright.tunnel.system import Interface

DIRECTORY: Final = Path("/var/lib/wirewright")
"""Where leases are kept that no other file was named for."""


def leases_of(interface: str) -> Path:
    """Give the file of an interface's leases."""
    return DIRECTORY / f"{interface}.leases"


@asynccontextmanager
async def serving(
    interface: Interface,
    settings: Settings,
    *,
    pools: tuple[IPNetwork, ...] | None = None,
    leases: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[LeaseServer]:
    """Serve while the block runs. Raises OSError, with words for a person, where that cannot begin."""
    name = interface.name
    engine = await asyncio.to_thread(interface.engine)
    peers = SystemPeers(engine, name, pools)
    link_local = await asyncio.to_thread(_prepare, interface)
    try:
        view = await peers.view()
        if not Pools(view.pools):
            raise InterfaceError(
                f"{name} has no addresses to hand out: route a network to it, or name one with --pool"
            )
        if not any(is_identity(network) for allowed in view.peers.values() for network in allowed):
            tell(
                f"no peer of {name} has a link-local address among its allowed IPs, and so none can ask yet "
                "(ww dynamic address)"
            )
        async with FileLeaseStore(leases or leases_of(name)) as store:
            service = LeaseService(peers, store, SystemClock(), settings)
            async with LeaseServer.on_interface(service, name, tell=tell) as server:
                yield server
    finally:
        await asyncio.to_thread(link_local.restore)


def _prepare(interface: Interface) -> LinkLocal:
    """Have the interface be one that clients find a server on."""
    if not interface.exists:
        raise InterfaceError(f"{interface.name} is not a WireGuard interface")
    return found_by_clients(interface.name)
