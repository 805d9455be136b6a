"""What administrators gave to peers, which leases never touch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wirewright.dynamic.identity import is_identity
from wirewright.dynamic.pools import Blocked, Pools

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wirewright.config.values import IPAddress, IPNetwork
    from wirewright.dynamic.records import Lease
    from wirewright.keys import PublicKey


@dataclass(frozen=True, slots=True)
class View:
    """An interface as it is: its peers and their allowed IPs, its addresses, and what is handed out."""

    peers: Mapping[PublicKey, frozenset[IPNetwork]]
    own: frozenset[IPAddress] = frozenset()
    """Addresses of the interface itself."""
    pools: tuple[IPNetwork, ...] = ()
    public_key: PublicKey | None = None
    """Of the interface."""
    leased: frozenset[IPAddress] = frozenset()
    """Allowed IPs that are leases, as others who keep them say: nothing that an administrator gave."""


@dataclass(slots=True)
class Occupied:
    """Addresses of the pools that are not to be leased, as they follow from a view."""

    pools: Pools
    addresses: dict[IPAddress, PublicKey | None] = field(default_factory=dict)
    """Single ones, with the peer that has it; None for the interface's own."""
    blocked: Blocked = field(default_factory=lambda: Blocked(()))

    def __contains__(self, address: IPAddress) -> bool:
        return address in self.addresses or address in self.blocked

    def own(self, key: PublicKey, version: int) -> IPAddress | None:
        """Give the address of the pools that an administrator gave to a peer, the lowest of several."""
        found = [each for each, owner in self.addresses.items() if owner == key and each.version == version]
        return min((each for each in found if each in self.pools), key=int, default=None)


def occupied(view: View, leases: Mapping[PublicKey, Lease]) -> Occupied:
    """Tell what of the pools is taken by others than the leases.

    An allowed IP that holds a whole pool, such as 0.0.0.0/0, takes nothing of it: a lease is more specific.
    One inside a pool takes its part.
    """
    pools = Pools(view.pools)
    taken = Occupied(pools, dict.fromkeys(view.own))
    networks: list[IPNetwork] = []
    for key, allowed in view.peers.items():
        lease = leases.get(key)
        for network in allowed:
            if is_identity(network) or not pools.has_part(network):
                continue
            if network.prefixlen < network.max_prefixlen:
                networks.append(network)
            elif network.network_address not in (lease.addresses if lease else ()) and (
                network.network_address not in view.leased
            ):
                taken.addresses[network.network_address] = key
    taken.blocked = Blocked(networks)
    return taken
