"""What takes a change back of which only a part was done.

The kernel does a change peer by peer, and in several messages if there are many. What it refuses on the way
ends it, and leaves what came before. Taking that back restores settings, not sessions: a peer that was
removed comes again and makes a handshake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from wirewright.host.device import NO_KEY, DeviceChange, PeerChange

if TYPE_CHECKING:
    from wirewright.host.device import DeviceState, PeerState

_T = TypeVar("_T")


def back(change: DeviceChange, before: DeviceState, now: DeviceState) -> DeviceChange:
    """Give what makes an interface again what it was, as far as the change can have touched it.

    An endpoint that a peer did not have is not taken away: there is no way to say so.
    """
    named = {peer.public_key for peer in change.peers}
    sent_elsewhere = {peer.public_key for peer in change.peers if peer.endpoint is not None}
    were = {peer.public_key for peer in before.peers}
    have = {peer.public_key: peer for peer in now.peers}
    added = [PeerChange(key, remove=True) for key in have if key in named and key not in were]
    changed = [
        _as_it_was(peer, have.get(peer.public_key), peer.public_key in sent_elsewhere)
        for peer in before.peers
    ]
    key = _unless_equal(before.private_key or NO_KEY, now.private_key or NO_KEY)
    port = _unless_equal(before.listen_port, now.listen_port)
    mark = _unless_equal(before.fwmark, now.fwmark)
    return DeviceChange(
        private_key=None if change.private_key is None else key,
        listen_port=None if change.listen_port is None else port,
        fwmark=None if change.fwmark is None else mark,
        peers=(*added, *(peer for peer in changed if peer is not None)),
    )


def _as_it_was(before: PeerState, now: PeerState | None, sent_elsewhere: bool) -> PeerChange | None:
    """Give what makes a peer what it was; where it is by its own doing, it stays. None: it is so."""
    moved = now is None or (before.endpoint != now.endpoint and (sent_elsewhere or now.endpoint is None))
    if now is not None and not moved and _settings(before) == _settings(now):
        return None
    return PeerChange(
        before.public_key,
        preshared_key=before.preshared_key or NO_KEY,
        endpoint=before.endpoint if moved else None,
        persistent_keepalive=before.persistent_keepalive,
        replace_allowed_ips=True,
        allowed_ips=before.allowed_ips,
    )


def _settings(peer: PeerState) -> tuple[object, ...]:
    return peer.preshared_key, peer.persistent_keepalive, frozenset(peer.allowed_ips)


def _unless_equal(wanted: _T, have: _T) -> _T | None:
    return None if wanted == have else wanted
