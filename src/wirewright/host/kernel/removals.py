"""Allowed IPs taken away singly, also where the kernel cannot (before Linux 6.16).

A kernel that does not know the flag for it refuses the message. But a module for an old kernel, from the
time before WireGuard came with Linux, passes over what it does not know: for it, an allowed IP to remove is
one to add. So nobody is asked to remove what a peer does not have, for that would take it from another, and
the first time somebody looks whether it is gone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from wirewright.host.device import PeerChange
from wirewright.keys import SecretKey

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from wirewright.config.values import IPNetwork
    from wirewright.host.device import DeviceChange, DeviceState
    from wirewright.keys import PublicKey

    Owned = tuple[PublicKey, IPNetwork]


def own_removals(change: DeviceChange, state: DeviceState) -> tuple[DeviceChange, set[Owned]]:
    """Leave away removals of what the peer does not have when its turn comes.

    Return with it what peers have now, or are given on the way, and have no more in the end.
    """
    table = _Table()
    if not change.replace_peers:
        for known in state.peers:
            table.give(known.public_key, known.allowed_ips)
    gone: set[Owned] = set()
    peers = []
    for peer in change.peers:
        key = peer.public_key
        going: tuple[IPNetwork, ...] = ()
        if peer.remove:
            table.forget(key)
        elif table.knows(key) or not peer.update_only:
            if peer.replace_allowed_ips:
                table.forget(key)
            table.give(key, peer.allowed_ips)
            going = tuple(n for n in dict.fromkeys(peer.removed_allowed_ips) if table.has(key, n))
            table.take(key, going)
            gone.update((key, network) for network in going)
        peers.append(replace(peer, removed_allowed_ips=going))
    gone = {(key, network) for key, network in gone if not table.has(key, network)}
    return replace(change, peers=tuple(peers)), gone


def any_left(gone: AbstractSet[Owned], state: DeviceState) -> bool:
    """Whether a peer has something that should be gone."""
    return any((peer.public_key, network) in gone for peer in state.peers for network in peer.allowed_ips)


def without_removals(change: DeviceChange) -> DeviceChange:
    """Say the same without the flag.

    An allowed IP leaves its peer by being given to another. So those that are to go, which the peer must
    have, are given to one that is made for it and removed with them, in the same request.
    """
    peers: list[PeerChange] = []
    for peer in change.peers:
        peers.append(replace(peer, removed_allowed_ips=()))
        if peer.removed_allowed_ips:
            nobody = SecretKey.generate().public_key
            peers.append(PeerChange(nobody, allowed_ips=peer.removed_allowed_ips))
            peers.append(PeerChange(nobody, remove=True))
    return replace(change, peers=tuple(peers))


class _Table:
    """Whose each network is."""

    def __init__(self) -> None:
        self._owners: dict[IPNetwork, PublicKey] = {}
        self._networks: defaultdict[PublicKey, set[IPNetwork]] = defaultdict(set)

    def knows(self, key: PublicKey) -> bool:
        return key in self._networks

    def has(self, key: PublicKey, network: IPNetwork) -> bool:
        return self._owners.get(network) == key

    def give(self, key: PublicKey, networks: tuple[IPNetwork, ...]) -> None:
        own = self._networks[key]
        for network in networks:
            owner = self._owners.get(network)
            if owner is not None and owner != key:
                self._networks[owner].discard(network)
            self._owners[network] = key
            own.add(network)

    def take(self, key: PublicKey, networks: tuple[IPNetwork, ...]) -> None:
        for network in networks:
            self._networks[key].discard(network)
            del self._owners[network]

    def forget(self, key: PublicKey) -> None:
        for network in self._networks.pop(key, ()):
            del self._owners[network]
