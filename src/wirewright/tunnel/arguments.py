"""What callers write: addresses, ports, endpoints and networks, checked before the core sees them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Endpoint = str | tuple[str, int]


def literal(host: str) -> Address | None:
    """Return the IP address that ``host`` is, brackets allowed, or None if it is a name."""
    text = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return ip_address(text)
    except ValueError:
        return None


def check_port(port: int, least: int = 0) -> None:
    """Raise ``ValueError`` for a port that cannot be."""
    if not least <= port <= 65535:
        raise ValueError(f"port {port} is not from {least} to 65535")


def parse_endpoint(endpoint: Endpoint | None) -> tuple[str, int] | None:
    """Return host and port of an endpoint, which may be written "host:port" or "[v6]:port"."""
    if endpoint is None or isinstance(endpoint, tuple):
        return endpoint
    host, separator, port = endpoint.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not separator or not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise ValueError(f"Endpoint {endpoint!r} is not host:port (an IPv6 address stands in brackets).")
    return host, int(port)


def parse_networks(networks: Iterable[Network | str]) -> tuple[Network, ...]:
    """Return the networks with their host bits masked, as WireGuard does."""
    if isinstance(networks, str):
        raise TypeError(f"allowed_ips takes a sequence of networks: write [{networks!r}].")
    return tuple(ip_network(network, strict=False) for network in networks)
