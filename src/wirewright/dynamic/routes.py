"""Routes that a server names: which of them a client takes, and how they come and go.

A route is a way into the tunnel, and an allowed IP of the server's peer if that has none which holds it. It
is not taken if it would take from others what is theirs.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from wirewright.host.device import DeviceChange, PeerChange
from wirewright.host.network import Network, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wirewright.config.values import IPNetwork
    from wirewright.keys import PublicKey
    from wirewright.tunnel.system import Interface


class LeaseRoutes:
    """The routes of one lease. All methods raise OSError."""

    def __init__(
        self, interface: Interface, accepted: Sequence[IPNetwork], tell: Callable[[str], None]
    ) -> None:
        """Take routes inside one of the ``accepted`` networks; ``tell`` hears why others are not taken."""
        self._interface = interface
        self._accepted = accepted
        self._tell = tell
        self._server: PublicKey | None = None
        self._routes: dict[IPNetwork, bool] = {}
        """Those that are there for the lease, and whether the server's allowed IPs were extended by it."""
        self._refused: set[IPNetwork] = set()

    def have(self, server: PublicKey | None, routes: Sequence[IPNetwork]) -> None:
        """Have these and no others."""
        self._server = server
        accepted = [each for each in routes if any(_lies_in(each, outer) for outer in self._accepted)]
        with Network() as network:
            for gone in [each for each in self._routes if each not in accepted]:
                self._remove(network, gone)
            for route in accepted:
                if route not in self._routes and route not in self._refused:
                    why = self._add(network, route)
                    if why is not None:
                        self._refused.add(route)
                        self._tell(f"the route to {route} is not taken: {why}")

    def _add(self, network: Network, route: IPNetwork) -> str | None:
        """Send a network into the tunnel; say why not, if not."""
        peers = self._interface.state().peers
        others = [n for peer in peers if peer.public_key != self._server for n in peer.allowed_ips]
        own = [n for peer in peers if peer.public_key == self._server for n in peer.allowed_ips]
        link = network.link(self._interface.name)
        if link is None or self._server is None:
            return "the interface has gone"
        if not route.prefixlen:
            return "a tunnel for everything is what ww up makes"
        if any(_lies_in(n, route) or _lies_in(route, n) for n in others):
            return "it is another peer's"
        if any(peer.endpoint is not None and peer.endpoint.address in route for peer in peers):
            return "a peer's endpoint is in it"
        try:
            network.add_route(Route(route, link.index))
        except FileExistsError:
            return "there is one already"
        extends = not any(_lies_in(route, n) for n in own)
        self._routes[route] = extends
        if extends:
            change = PeerChange(self._server, update_only=True, allowed_ips=(route,))
            self._interface.set(DeviceChange(peers=(change,)))
        return None

    def _remove(self, network: Network, route: IPNetwork) -> None:
        extends = self._routes.pop(route)
        link = network.link(self._interface.name)
        if link is not None:
            with suppress(OSError):
                network.delete_route(Route(route, link.index))
        if extends and self._server is not None:
            change = PeerChange(self._server, update_only=True, removed_allowed_ips=(route,))
            self._interface.set(DeviceChange(peers=(change,)))


def _lies_in(network: IPNetwork, outer: IPNetwork) -> bool:
    return (
        network.version == outer.version
        and network.prefixlen >= outer.prefixlen
        and network.network_address in outer
    )
