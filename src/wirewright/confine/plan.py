"""What the interface inside will be: told to who makes it, without any key."""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_interface, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wirewright.confine.errors import ConfineError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from wirewright.config import Config, Peer
    from wirewright.config.values import IPInterface, IPNetwork

FALLBACK_NAME: Final = "tunnel"
# Of the kernel's own, or of its sysctls'.
_TAKEN: Final = frozenset({"lo", "all", "default", ".", ".."})


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


def make_plan(conf: Path, config: Config, mtu: int) -> Plan:
    """Plan the interface of a configuration; it has this MTU unless it says something else."""
    from wirewright.tunnel.system.mtu import LEAST  # noqa: PLC0415 - after the fork

    interface = config.interface
    if not interface.addresses:
        raise ConfineError(f"{conf}: there is no Address, without which nothing can be sent")
    versions = {address.version for address in interface.addresses}
    mtu = interface.mtu or mtu
    if 6 in versions and mtu < LEAST[6]:
        raise ConfineError(f"{conf}: an MTU of {mtu} is too little for IPv6, which takes {LEAST[6]}")
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
    from wirewright.tunnel.system.files import NAME  # noqa: PLC0415 - after the fork

    name = conf.stem
    return name if NAME.fullmatch(name) and name not in _TAKEN else FALLBACK_NAME


def _routes(peers: Iterable[Peer], versions: Collection[int]) -> Iterable[IPNetwork]:
    """Give all networks of the peers, of families that there is an address of.

    Which peer a packet goes to is the engine's to know: neighbours are one route.
    """
    networks = [network for peer in peers for network in peer.allowed_ips if network.version in versions]
    yield from collapse_addresses([each for each in networks if isinstance(each, IPv4Network)])
    yield from collapse_addresses([each for each in networks if isinstance(each, IPv6Network)])
