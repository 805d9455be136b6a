"""Networks that "everything" never means: an operator opens them by name, or nobody does.

The same as those of the rootless engine (``crates/netstack/src/forward/reach.rs``): what RFC 6890 and its
successors name that is no host elsewhere, and where clouds serve metadata to their machines.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wirewright.config.values import IPAddress, IPNetwork

EVERYWHERE: Final[tuple[IPNetwork, ...]] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))

SPECIAL: Final[tuple[IPNetwork, ...]] = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "127.0.0.0/8",
            # Link-local, and the metadata of most clouds.
            "169.254.0.0/16",
            "224.0.0.0/4",
            "240.0.0.0/4",
            # Metadata and agents of Alibaba, Azure and Oracle.
            "100.100.100.200/32",
            "168.63.129.16/32",
            "192.0.0.192/32",
            # Unspecified, loopback, and IPv4 in its lowest bits (RFC 4291, section 2.5.5.1).
            "::/96",
            # IPv4-mapped, which is never on a wire, and IPv4-translated (RFC 2765).
            "::ffff:0:0/96",
            "::ffff:0:0:0/96",
            # Translation inside one site (RFC 8215), whose form is not known here.
            "64:ff9b:1::/48",
            "100::/64",
            "fe80::/10",
            "fec0::/10",
            "ff00::/8",
            # Metadata and agents of Amazon, Google and Scaleway.
            "fd00:ec2::/32",
            "fd20:ce::254/128",
            "fd00:42::42/128",
            "fd00:c1::a9fe:a9fe/128",
            "fd00:100::100:200/128",
            "fd00:a9fe:a9fe::1/128",
        ),
    )
)


def is_special(address: IPAddress) -> bool:
    """Whether an address is no ordinary one."""
    return any(address in network for network in SPECIAL)


def lies_in(network: IPNetwork, others: Sequence[IPNetwork]) -> bool:
    """Whether a network lies inside one of others."""
    return any(
        network.version == other.version
        and network.prefixlen >= other.prefixlen
        and network.network_address in other
        for other in others
    )
