"""What a server gives addresses on: a system interface of either engine, or a rootless tunnel."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from wirewright.dynamic.occupied import View
from wirewright.host.device import DeviceChange, PeerChange
from wirewright.host.network import RT_TABLE_MAIN, Network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wirewright.config.values import IPAddress, IPNetwork
    from wirewright.host.engine import Engine
    from wirewright.keys import PublicKey
    from wirewright.tunnel import PeerStats, Tunnel


@dataclass(frozen=True, slots=True)
class SystemPeers:
    """The peers of a system interface. A :class:`~wirewright.dynamic.service.Peers`.

    Without ``pools``, addresses come from the networks that are routed to the interface, as upstream has it.
    """

    engine: Engine
    name: str
    pools: tuple[IPNetwork, ...] | None = None

    async def view(self) -> View:
        """Tell how it is now."""
        return await asyncio.to_thread(self._view)

    async def change(
        self, key: PublicKey, added: Sequence[IPNetwork] = (), removed: Sequence[IPNetwork] = ()
    ) -> None:
        """Give a peer allowed IPs, and take some away."""
        await self._set(
            PeerChange(key, update_only=True, allowed_ips=tuple(added), removed_allowed_ips=tuple(removed))
        )

    async def add_like(self, old: PublicKey, new: PublicKey, networks: Sequence[IPNetwork]) -> None:
        """Add a peer with the preshared key of another."""
        await self._set(await self._like(old, new, networks))

    async def succeed(self, old: PublicKey, new: PublicKey, networks: Sequence[IPNetwork]) -> None:
        """Put a peer in the place of another."""
        await self._set(PeerChange(old, remove=True), await self._like(old, new, networks))

    async def remove(self, key: PublicKey) -> None:
        """Remove a peer."""
        await self._set(PeerChange(key, remove=True))

    async def _like(self, old: PublicKey, new: PublicKey, networks: Sequence[IPNetwork]) -> PeerChange:
        state = await asyncio.to_thread(self.engine.get, self.name)
        found = {peer.public_key: peer for peer in state.peers}
        model = found.get(old)
        if new in found or model is None:
            return PeerChange(new, allowed_ips=tuple(networks))
        return PeerChange(
            new,
            preshared_key=model.preshared_key,
            persistent_keepalive=model.persistent_keepalive,
            allowed_ips=tuple(networks),
        )

    async def _set(self, *peers: PeerChange) -> None:
        await asyncio.to_thread(self.engine.set, self.name, DeviceChange(peers=peers))

    def _view(self) -> View:
        state = self.engine.get(self.name)
        with Network() as network:
            own = {each.ip for each in network.addresses(self.name)}
            pools = self.pools if self.pools is not None else _routed(network, self.name)
        peers = {peer.public_key: frozenset(peer.allowed_ips) for peer in state.peers}
        return View(peers, frozenset(own), tuple(pools), state.public_key)


@dataclass(frozen=True, slots=True)
class TunnelPeers:
    """The peers of a rootless tunnel. A :class:`~wirewright.dynamic.service.Peers`."""

    tunnel: Tunnel
    pools: tuple[IPNetwork, ...]

    async def view(self) -> View:
        """Tell how it is now."""
        peers = {peer.public_key: frozenset(map(ip_network, peer.allowed_ips)) for peer in self._peers()}
        own = frozenset(ip_address(each) for each in self.tunnel.addresses)
        return View(peers, own, self.pools, None)

    async def change(
        self, key: PublicKey, added: Sequence[IPNetwork] = (), removed: Sequence[IPNetwork] = ()
    ) -> None:
        """Give a peer allowed IPs, and take some away."""
        for peer in self._peers():
            if peer.public_key == key:
                gone = set(removed) - set(added)
                kept = [n for n in map(ip_network, peer.allowed_ips) if n not in gone]
                await self.tunnel.update_peer(key, allowed_ips=[*kept, *(n for n in added if n not in kept)])

    async def add_like(self, old: PublicKey, new: PublicKey, networks: Sequence[IPNetwork]) -> None:
        """Refuse: an open tunnel keeps no preshared key that another peer could be given."""
        raise OSError(errno.EOPNOTSUPP, "a rootless tunnel takes no new keys from clients")

    async def succeed(self, old: PublicKey, new: PublicKey, networks: Sequence[IPNetwork]) -> None:
        """Refuse, likewise."""
        raise OSError(errno.EOPNOTSUPP, "a rootless tunnel takes no new keys from clients")

    async def remove(self, key: PublicKey) -> None:
        """Remove a peer."""
        await self.tunnel.remove_peer(key)

    def _peers(self) -> Sequence[PeerStats]:
        return self.tunnel.stats().peers


def _routed(network: Network, name: str) -> list[IPNetwork]:
    link = network.link(name)
    if link is None:
        raise OSError(errno.ENODEV, "there is no such interface", name)
    routes = [
        route for version in (4, 6) for route in network.routes(version, table=RT_TABLE_MAIN, link=link.index)
    ]
    return [
        route.network
        for route in routes
        if route.is_way and not route.gateway and _can_be_pool(route.network)
    ]


def _can_be_pool(network: IPNetwork) -> bool:
    first: IPAddress = network.network_address
    return bool(network.prefixlen) and not (first.is_link_local or first.is_multicast)
