"""Whether the networks of devices are free on this host: the interface gets a route to each of them.

A coordinator does not know the host's other networks. A pool that overlaps one of them would take the host's
own way there, and the guard would drop what comes from it. Only the operator can want that.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from wirewright.gateway.engine import UnfitError
from wirewright.gateway.special import lies_in
from wirewright.host.network import Network

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from wirewright.config.values import IPInterface, IPNetwork

_HALVES: Final = 4
"""Routes with shorter prefixes are ways to everything else, such as a default route in two halves."""


def check(
    name: str, addresses: Sequence[IPInterface], pools: Iterable[IPNetwork], allowed: Sequence[IPNetwork]
) -> None:
    """See that pools lie in what the operator ``allowed``, or else are no networks of the host's.

    ``name`` and ``addresses`` are those of the gateway's interface. Raises UnfitError, OSError.
    """
    pools = [*pools, *(address.network for address in addresses)]
    if allowed:
        strange = [pool for pool in pools if not lies_in(pool, allowed)]
        if strange:
            words = f"the coordinator names the pool {strange[0]}, which lies in none that --pool allows"
            raise UnfitError(errno.EPERM, words, name)
        return
    if not pools:
        return
    with Network() as network:
        for taken, where in _taken(network, name):
            for pool in pools:
                if pool.version == taken.version and pool.overlaps(taken):
                    words = (
                        f"the coordinator names the pool {pool}, but this host has {taken} on {where}: "
                        f"choose another pool, or allow it by --pool {pool}"
                    )
                    raise UnfitError(errno.EADDRINUSE, words, name)


def _taken(network: Network, name: str) -> Iterator[tuple[IPNetwork, str]]:
    """Give the networks that packets go to by other interfaces, and the names of these."""
    links = {link.index: link.name for link in network.links()}
    for version in (4, 6):
        for route in network.routes(version):
            where = links.get(route.link, "several interfaces")
            if route.is_way and where not in {name, "lo"} and route.network.prefixlen >= _HALVES:
                yield route.network, where
