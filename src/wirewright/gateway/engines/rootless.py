"""A gateway in user space: a rootless tunnel whose stack carries what devices send by the host's sockets."""

from __future__ import annotations

from ipaddress import IPv6Interface
from typing import TYPE_CHECKING, Any, Final

from wirewright.config import Config
from wirewright.config.model import Interface
from wirewright.config.values import host_and_port
from wirewright.dynamic.identity import LINK, SERVER
from wirewright.gateway.engine import Observed
from wirewright.gateway.engines.ports import listening_on
from wirewright.gateway.members import device_change, without_key
from wirewright.host.device import Nothing
from wirewright.tunnel import Forwarding, Tunnel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wirewright.config.values import IPInterface, IPNetwork
    from wirewright.gateway.members import EngineChange
    from wirewright.host.device import PeerChange
    from wirewright.keys import PublicKey, SecretKey


_SERVED: Final = IPv6Interface((SERVER, LINK.prefixlen))


def rootless(
    key: SecretKey,
    *,
    listen_port: int = 51820,
    listen_address: str | None = None,
    mtu: int | None = None,
    forwarding: Forwarding | None = None,
) -> RootlessEngine:
    """Make an engine that takes no root.

    It listens on a UDP port of the host, 0 for any free one, and carries what ``forwarding`` lets through; as
    it stands that is the world outside of the host. ``mtu`` is in bytes.
    """

    def opened(addresses: tuple[IPInterface, ...]) -> Tunnel:
        interface = Interface(key, addresses, listen_port=listen_port, mtu=mtu)
        return Tunnel(Config(interface), listen_address=listen_address, forwarding=forwarding or Forwarding())

    return RootlessEngine(opened, key.public_key, listen_port)


class RootlessEngine:
    """Has a tunnel, and makes another where the gateway's own addresses change.

    A :class:`~wirewright.gateway.engine.GatewayEngine`.
    """

    def __init__(
        self,
        make: Callable[[tuple[IPInterface, ...]], Tunnel],
        own_key: PublicKey | None = None,
        listen_port: int = 0,
    ) -> None:
        """``make`` gives a tunnel with these addresses, which is not open yet, and has ``own_key``."""
        self._make, self._own_key, self._listen_port = make, own_key, listen_port
        self._addresses: tuple[IPInterface, ...] = ()
        self._present: set[PublicKey] = set()
        self._is_idle = False
        """Whether there is nothing to be done before the gateway has an address."""
        self.tunnel: Tunnel | None = None
        """What carries the packets, once something was applied."""

    @property
    def description(self) -> str:
        """What it is, for a person."""
        port = f" on UDP port {self.tunnel.listen_port}" if self.tunnel else ""
        return f"a rootless tunnel{port}"

    async def apply(self, change: EngineChange) -> None:
        """Be as a change says."""
        if self._own_key is not None:
            change = without_key(change, self._own_key)
        if change.whole:
            self._is_idle = not change.addresses
            if self._is_idle:
                # A gateway that has no pools yet.
                await self._close()
                return
            # Where leases are served, the tunnel has the address that clients find the server at.
            served = (_SERVED,) if SERVER in change.filter.own else ()
            tunnel = await self._begun((*change.addresses, *served))
            # Before any peer is there, so that none is ever without.
            await tunnel.set_filter(change.filter)
            self._present = {peer.public_key for peer in tunnel.stats().peers}
        networks = {each.after.public_key: each.after.networks for each in change.put}
        for peer in device_change(change, filtered=True, present=self._present).peers:
            await self._change(peer, networks.get(peer.public_key, ()))

    async def observe(self) -> list[Observed]:
        """Tell of the peers."""
        if self._is_idle:
            return []
        return [
            Observed(
                peer.public_key,
                peer.rx_bytes,
                peer.tx_bytes,
                None if peer.last_handshake is None else int(peer.last_handshake * 1e6),
                None if peer.endpoint is None else host_and_port(*peer.endpoint),
            )
            for peer in self._open().stats().peers
        ]

    async def counters(self) -> Mapping[str, int]:
        """Tell what was dropped, by its cause."""
        if self._is_idle:
            return {}
        stats = self._open().stats()
        return {**stats.counters, **stats.forwarding}

    async def close(self) -> None:
        """Close the tunnel."""
        await self._close()

    async def _close(self) -> None:
        tunnel, self.tunnel = self.tunnel, None
        self._present = set()
        if tunnel is not None:
            await tunnel.close()

    async def _begun(self, addresses: tuple[IPInterface, ...]) -> Tunnel:
        if self.tunnel is not None and (self.tunnel.closed or addresses != self._addresses):
            await self._close()
        if self.tunnel is None:
            tunnel = self._make(addresses)
            with listening_on(self._listen_port):
                await tunnel.open()
            self.tunnel, self._addresses = tunnel, addresses
        return self.tunnel

    def _open(self) -> Tunnel:
        if self.tunnel is None:
            raise OSError("the tunnel is not open")
        return self.tunnel

    async def _change(self, peer: PeerChange, networks: tuple[IPNetwork, ...]) -> None:
        tunnel, key = self._open(), peer.public_key
        if peer.remove:
            await tunnel.remove_peer(key)
            self._present.discard(key)
            return
        settings: dict[str, Any] = {}
        if peer.preshared_key is not None:
            settings["preshared_key"] = (
                None if isinstance(peer.preshared_key, Nothing) else peer.preshared_key
            )
        if peer.allowed_ips or peer.replace_allowed_ips:
            settings["allowed_ips"] = networks
        if peer.rules is not None:
            settings["rules"] = peer.rules
        if key in self._present:
            await tunnel.update_peer(key, **settings)
        else:
            await tunnel.add_peer(key, **settings)
            self._present.add(key)
