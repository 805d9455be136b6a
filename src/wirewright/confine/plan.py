"""What the interface inside will be: told to who makes it, without any key."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_interface, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wirewright.confine.errors import ConfineError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from wirewright.config import Config, Peer
    from wirewright.config.values import IPInterface, IPNetwork
    from wirewright.host.device import SocketAddress

DEFAULT_MTU: Final = 1420
"""Fits 1,500 bytes also over IPv6."""
_OVERHEAD: Final = 80
"""IPv6, UDP, and a data message's header and tag."""
LEAST_IPV6_MTU: Final = 1280
"""RFC 8200, section 5."""
_LARGEST_MTU: Final = 65_535
FALLBACK_NAME: Final = "tunnel"

_NAME: Final = re.compile(r"[a-zA-Z0-9_=+.-]{1,15}", re.ASCII)
# Of the kernel's own, or of its sysctls'.
_TAKEN: Final = frozenset({"lo", "all", "default", ".", ".."})

# linux/in.h, linux/in6.h
_IP_MTU: Final = 14
_IPV6_MTU: Final = 24


@dataclass(frozen=True, slots=True)
class Plan:
    """Name, MTU in bytes, addresses and routes of the interface, and who is asked for names."""

    name: str
    mtu: int
    addresses: tuple[IPInterface, ...]
    routes: tuple[IPNetwork, ...]
    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()

    def dumps(self) -> bytes:
        """Write it on one line."""
        data = {
            "name": self.name,
            "mtu": self.mtu,
            "addresses": [str(address) for address in self.addresses],
            "routes": [str(network) for network in self.routes],
            "servers": self.servers,
            "search": self.search,
        }
        return json.dumps(data).encode() + b"\n"

    @classmethod
    def loads(cls, line: bytes) -> Plan:
        """Read what `dumps` wrote."""
        data = json.loads(line)
        return cls(
            data["name"],
            data["mtu"],
            tuple(map(ip_interface, data["addresses"])),
            tuple(map(ip_network, data["routes"])),
            tuple(data["servers"]),
            tuple(data["search"]),
        )


def make_plan(conf: Path, config: Config, endpoints: Iterable[SocketAddress]) -> Plan:
    """Plan the interface of a configuration, whose peers are reached at these addresses."""
    interface = config.interface
    if not interface.addresses:
        raise ConfineError(f"{conf}: there is no Address, without which nothing can be sent")
    versions = {address.version for address in interface.addresses}
    mtu = interface.mtu or _mtu(endpoints)
    if 6 in versions and mtu < LEAST_IPV6_MTU:
        raise ConfineError(f"{conf}: an MTU of {mtu} is too little for IPv6, which takes {LEAST_IPV6_MTU}")
    return Plan(
        interface_name(conf),
        mtu,
        interface.addresses,
        tuple(_routes(config.effective_peers(), versions)),
        tuple(map(str, interface.dns_servers)),
        interface.search_domains,
    )


def interface_name(conf: Path) -> str:
    """Name an interface as its file, as ``wg-quick`` does; a file may have a name that no interface can."""
    name = conf.stem
    return name if _NAME.fullmatch(name) and name not in _TAKEN else FALLBACK_NAME


def _routes(peers: Iterable[Peer], versions: Collection[int]) -> Iterable[IPNetwork]:
    """Give all networks of the peers, of families that there is an address of.

    Which peer a packet goes to is the engine's to know: neighbours are one route.
    """
    networks = [network for peer in peers for network in peer.allowed_ips if network.version in versions]
    yield from collapse_addresses([each for each in networks if isinstance(each, IPv4Network)])
    yield from collapse_addresses([each for each in networks if isinstance(each, IPv6Network)])


def _mtu(endpoints: Iterable[SocketAddress]) -> int:
    """Give what fits the narrowest first link to an endpoint."""
    outer = [mtu for endpoint in endpoints if (mtu := _outer_mtu(endpoint)) is not None]
    if not outer:
        return DEFAULT_MTU
    return min(max(min(outer) - _OVERHEAD, LEAST_IPV6_MTU), _LARGEST_MTU - _OVERHEAD)


def _outer_mtu(endpoint: SocketAddress) -> int | None:
    """Ask the system for the MTU of the way to an address; nothing is sent."""
    is_ipv4 = endpoint.address.version == 4
    family = socket.AF_INET if is_ipv4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((str(endpoint.address), endpoint.port))
            if is_ipv4:
                return sock.getsockopt(socket.IPPROTO_IP, _IP_MTU)
            return sock.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU)
    except OSError:
        return None
