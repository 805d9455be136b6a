"""What must be known of the host before a plan is made. Nothing is changed here."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from wirewright.host.device import SocketAddress
from wirewright.tunnel.system.errors import InterfaceError
from wirewright.tunnel.system.lookups import look_up
from wirewright.tunnel.system.mtu import has_ipv6, mtu_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wirewright.config import Config
    from wirewright.config.values import Endpoint
    from wirewright.tunnel.system.host import Host

RESOLUTIONS: Final = 15
"""How often the name of an endpoint is asked for, where it may be known later; as `wg` does."""


@dataclass(frozen=True)
class Facts:
    """What a plan depends on."""

    endpoints: Mapping[Endpoint, SocketAddress]
    mtu: int
    """Bytes of the longest packet inside, unless the file says something else."""
    table: int | None
    """Where the default route of a full tunnel goes, and the mark of its datagrams; None for another."""


def gather(config: Config, host: Host, resolve: Callable[[Endpoint], SocketAddress]) -> Facts:
    """Look, and claim a table if one is needed. Raises OSError and InterfaceError."""
    found = endpoints(config, resolve)
    table = host.claim_table(config.interface.fwmark) if is_full(config) else None
    return Facts(found, mtu_of(host.network, found.values(), ipv6=has_ipv6(config.interface)), table)


def endpoints(
    config: Config, resolve: Callable[[Endpoint], SocketAddress]
) -> Mapping[Endpoint, SocketAddress]:
    """Find where the peers are, each endpoint once. Raises what ``resolve`` raises."""
    wanted = [peer.endpoint for peer in config.effective_peers() if peer.endpoint is not None]
    return {endpoint: resolve(endpoint) for endpoint in dict.fromkeys(wanted)}


def is_full(config: Config) -> bool:
    """Whether all packets of a family go into the tunnel, by a table of their own."""
    networks = (network for peer in config.effective_peers() for network in peer.allowed_ips)
    return config.interface.table in (None, "auto") and any(not network.prefixlen for network in networks)


def resolve(endpoint: Endpoint, *, pause: float = 1.0) -> SocketAddress:
    """Find where an endpoint is; a name that cannot be asked for now is asked for again.

    Raises InterfaceError.
    """
    for attempt in range(RESOLUTIONS + 1):
        try:
            found = look_up(endpoint)
        except socket.gaierror as error:
            passing = error.errno in (socket.EAI_AGAIN, socket.EAI_NODATA)
            if attempt == RESOLUTIONS or not passing:
                raise InterfaceError(f"the endpoint {endpoint}: {error.strerror}") from None
            time.sleep(pause * 1.2**attempt)
        else:
            host, _, *more = found[0][4]
            scope = more[1] if len(more) == 2 else 0
            if scope and "%" not in str(host):
                host = f"{host}%{socket.if_indextoname(int(scope))}"
            return SocketAddress(ip_address(host), endpoint.port)
    raise AssertionError("the last attempt returns or raises")
