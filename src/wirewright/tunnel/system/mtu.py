"""The MTU of an interface whose file names none: one reckoning, whoever sets the interface up.

As ``wg-quick`` does, it goes by the widest of the first links to the peers, so that a file means the same
wherever it is used. With the narrowest, one peer behind a narrow link would have all others' packets cut
smaller. With the widest, datagrams to that one are sent in fragments, which works (neither engine forbids
them), if slower; who minds writes ``MTU`` into the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wirewright.host.network import RT_TABLE_MAIN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wirewright.config.model import Interface
    from wirewright.host.device import SocketAddress
    from wirewright.host.network import Network, Route

DEFAULT_OUTER: Final = 1500
OVERHEAD: Final = 80
"""IPv6, UDP, and a data message's header and tag; over IPv4 it is 20 bytes less."""
LEAST: Final = {4: 68, 6: 1280}
"""RFC 791, section 3.2, and RFC 8200, section 5: with less the kernel has no IPv6 on an interface; rather are
datagrams sent in fragments."""
LARGEST: Final = 65_535 - OVERHEAD
"""A datagram has no more; the loopback interface says 65,536."""


def has_ipv6(interface: Interface) -> bool:
    """Tell whether IPv6 goes in."""
    return any(address.version == 6 for address in interface.addresses)


def mtu_of(network: Network, endpoints: Iterable[SocketAddress], *, ipv6: bool) -> int:
    """Give the MTU, in bytes, of an interface whose peers are at these addresses.

    Without any, or if they are out of reach, it goes by the default routes. Raises OSError.
    """
    mtus = {link.index: link.mtu for link in network.links()}

    def of(route: Route | None) -> int:
        return 0 if route is None else route.mtu or mtus.get(route.link, 0)

    ways = [of(network.route_to(endpoint.address)) for endpoint in endpoints]
    if not any(ways):
        main = network.routes(4, table=RT_TABLE_MAIN) + network.routes(6, table=RT_TABLE_MAIN)
        ways = [of(route) for route in main if route.is_way and not route.network.prefixlen]
    outer = max(ways, default=0) or DEFAULT_OUTER
    return min(max(outer - OVERHEAD, LEAST[6 if ipv6 else 4]), LARGEST)
