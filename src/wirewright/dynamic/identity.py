"""Who speaks to whom: the well-known address and port, and the link-local address that stands for a peer.

A client is known by the link-local address it sends from, which is one peer's allowed IP; WireGuard has
authenticated it. Which address a peer has is not specified by wg-dynamic. Ours is the lower half of what
wg-lla (https://github.com/Jamesits/wg-lla) publishes, within the one /64 that the protocol uses.
"""

from __future__ import annotations

import hashlib
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wirewright.config.values import IPNetwork
    from wirewright.keys import PublicKey

PORT: Final = 970
"""Of both ends: a port below 1,024 is opened by no ordinary user."""
SERVER: Final = IPv6Address("fe80::")
LINK: Final = IPv6Network("fe80::/64")


def link_local(key: PublicKey) -> IPv6Address:
    """Derive a peer's link-local address from its public key: ``fe80::/64 | BLAKE2s-256(key)[8:16]``."""
    low = hashlib.blake2s(bytes(key)).digest()[8:16]
    return IPv6Address(int(SERVER) | int.from_bytes(low))


def is_identity(network: IPNetwork) -> bool:
    """Whether an allowed IP is a link-local address of one client."""
    return (
        isinstance(network, IPv6Network)
        and network.prefixlen == 128
        and network.network_address in LINK
        and network.network_address != SERVER
    )
