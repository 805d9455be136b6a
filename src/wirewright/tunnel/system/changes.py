"""From a configuration to the change that an interface is told.

``setconf`` has the interface say nothing but the configuration, ``addconf`` adds to it what the configuration
says, and ``syncconf`` changes only what differs, so that sessions of peers that stay are not disturbed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, TypeVar

from wirewright.host.device import NO_KEY, DeviceChange, PeerChange, PeerState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wirewright.config import Config, Peer
    from wirewright.config.values import Endpoint
    from wirewright.host.device import DeviceState, SocketAddress

Endpoints: TypeAlias = "Mapping[Endpoint, SocketAddress]"
_T = TypeVar("_T")


def whole(config: Config, endpoints: Endpoints) -> DeviceChange:
    """Have the interface say this and nothing else: what is absent is unset, peers begin anew."""
    interface = config.interface
    return DeviceChange(
        private_key=interface.private_key or NO_KEY,
        listen_port=interface.listen_port or 0,
        fwmark=interface.fwmark or 0,
        replace_peers=True,
        peers=tuple(_added(peer, endpoints) for peer in config.effective_peers()),
    )


def addition(config: Config, endpoints: Endpoints) -> DeviceChange:
    """Add this to what the interface says; a peer that it has gets these allowed IPs and no others."""
    interface = config.interface
    return DeviceChange(
        private_key=interface.private_key,
        listen_port=interface.listen_port,
        fwmark=interface.fwmark,
        peers=tuple(_added(peer, endpoints) for peer in config.effective_peers()),
    )


def difference(state: DeviceState, config: Config, endpoints: Endpoints) -> DeviceChange:
    """Give the least change that makes an interface say what a configuration says.

    A port or mark that the configuration leaves open stays as it is, and so does the endpoint of a peer. All
    else of a peer is as the configuration says: without a preshared key there it has none.
    """
    interface = config.interface
    have = {peer.public_key: peer for peer in state.peers}
    wanted = {peer.public_key: peer for peer in config.effective_peers()}
    removed = [PeerChange(key, remove=True) for key in have if key not in wanted]
    changed = [
        change
        for peer in wanted.values()
        if (change := _peer(have.get(peer.public_key), peer, endpoints)) is not None
    ]
    key = interface.private_key or NO_KEY
    return DeviceChange(
        private_key=None if key == (state.private_key or NO_KEY) else key,
        listen_port=_unless_equal(interface.listen_port or None, state.listen_port),
        fwmark=_unless_equal(interface.fwmark, state.fwmark),
        peers=(*removed, *changed),
    )


def says_nothing(change: DeviceChange) -> bool:
    """Whether a change leaves all as it is."""
    return change == DeviceChange()


def _added(peer: Peer, endpoints: Endpoints) -> PeerChange:
    return PeerChange(
        peer.public_key,
        preshared_key=peer.preshared_key,
        endpoint=endpoints[peer.endpoint] if peer.endpoint else None,
        persistent_keepalive=peer.persistent_keepalive,
        replace_allowed_ips=True,
        allowed_ips=peer.allowed_ips,
    )


def _peer(have: PeerState | None, wanted: Peer, endpoints: Endpoints) -> PeerChange | None:
    """Give the change of one peer; None if there is none."""
    is_new = have is None
    if have is None:
        have = PeerState(wanted.public_key)
    old, new = set(have.allowed_ips), set(wanted.allowed_ips)
    preshared_key = wanted.preshared_key or NO_KEY
    change = PeerChange(
        wanted.public_key,
        preshared_key=None if preshared_key == (have.preshared_key or NO_KEY) else preshared_key,
        endpoint=_unless_equal(endpoints[wanted.endpoint] if wanted.endpoint else None, have.endpoint),
        persistent_keepalive=_unless_equal(wanted.persistent_keepalive or 0, have.persistent_keepalive),
        allowed_ips=tuple(network for network in wanted.allowed_ips if network not in old),
        removed_allowed_ips=tuple(network for network in have.allowed_ips if network not in new),
    )
    return change if is_new or change != PeerChange(wanted.public_key) else None


def _unless_equal(wanted: _T | None, have: _T | None) -> _T | None:
    return None if wanted == have else wanted
