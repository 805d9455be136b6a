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
    if not isinstance(host, str):
        raise TypeError(f"host {host!r} is not a string, such as '10.0.0.1' or 'intranet.example'")
    text = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return ip_address(text)
    except ValueError:
        return None


def check_port(port: int, least: int = 0) -> None:
    """Raise ``ValueError`` for a port that cannot be, and ``TypeError`` for what is no number."""
    check_number("port", port, least, 65535)


def check_number(name: str, number: int, least: int, most: int | None = None) -> None:
    """Raise ``ValueError`` for a number out of its range, and ``TypeError`` for what is no whole number."""
    if not isinstance(number, int):
        raise TypeError(f"{name} {number!r} is not a whole number")
    if number < least or (most is not None and number > most):
        expected = f"from {least} to {most}" if most is not None else f"{least} or more"
        raise ValueError(f"{name} {number} is not {expected}")


def check_keepalive(seconds: int | None) -> None:
    """Raise for a persistent keepalive that cannot be; None and 0 are none."""
    if seconds is not None:
        check_number("persistent_keepalive", seconds, 0, 65535)


def parse_endpoint(endpoint: Endpoint | None) -> tuple[str, int] | None:
    """Return host and port of an endpoint, which may be written "host:port" or "[v6]:port"."""
    if endpoint is None:
        return None
    match endpoint:
        case str():
            host, _, port = endpoint.rpartition(":")
            if host.startswith("[") and host.endswith("]"):
                host = host[1:-1]
            number = int(port) if port.isascii() and port.isdigit() else 0
        case (str(host), int(number)):
            pass
        case _:
            raise TypeError(f"endpoint {endpoint!r} is neither 'host:port' nor a pair of both")
    if not host or not 0 < number < 65536:
        raise ValueError(f"Endpoint {endpoint!r} is not host:port (an IPv6 address stands in brackets).")
    return host, number


def parse_networks(networks: Iterable[Network | str]) -> tuple[Network, ...]:
    """Return the networks with their host bits masked, as WireGuard does."""
    if isinstance(networks, str):
        raise TypeError(f"allowed_ips takes a sequence of networks: write [{networks!r}].")
    return tuple(ip_network(network, strict=False) for network in networks)
