"""An interface as a value: what an engine makes of a change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wirewright.host.device import DeviceChange, DeviceState, Nothing, PeerChange, PeerState

if TYPE_CHECKING:
    from wirewright.keys import PublicKey


def apply(state: DeviceState, change: DeviceChange) -> DeviceState:
    """Change a state as both engines do: one peer behind the other, a network belonging to one of them."""
    peers = {} if change.replace_peers else {peer.public_key: peer for peer in state.peers}
    for peer in change.peers:
        _apply(peers, peer)
    return replace(
        state,
        private_key=_told(change.private_key, state.private_key),
        listen_port=_told(change.listen_port, state.listen_port),
        fwmark=_told(change.fwmark, state.fwmark),
        peers=tuple(peers.values()),
    )


def _apply(peers: dict[PublicKey, PeerState], change: PeerChange) -> None:
    if change.remove:
        peers.pop(change.public_key, None)
        return
    if change.update_only and change.public_key not in peers:
        return
    peer = peers.get(change.public_key, PeerState(change.public_key))
    networks = () if change.replace_allowed_ips else peer.allowed_ips
    for key, other in peers.items():
        kept = tuple(network for network in other.allowed_ips if network not in change.allowed_ips)
        peers[key] = replace(other, allowed_ips=kept)
    networks = tuple(dict.fromkeys((*networks, *change.allowed_ips)))
    peers[change.public_key] = replace(
        peer,
        preshared_key=_told(change.preshared_key, peer.preshared_key),
        endpoint=_told(change.endpoint, peer.endpoint),
        persistent_keepalive=_told(change.persistent_keepalive, peer.persistent_keepalive),
        allowed_ips=tuple(network for network in networks if network not in change.removed_allowed_ips),
    )


def _told(change: Any, value: Any) -> Any:
    if change is None:
        return value
    return None if isinstance(change, Nothing) else change
