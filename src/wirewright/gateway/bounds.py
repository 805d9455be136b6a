"""What a coordinator may say at most: it is believed about devices, not about the host.

A coordinator may be taken over, and what it says gets addresses, routes and rules on the gateway's host. So
the gateway's own addresses are those of pools, pools are no larger than networks of devices are, and what is
beyond is refused before it is kept. What only the host knows, such as its other networks, its engine checks.

All functions raise ValueError with words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wirewright.gateway.special import SPECIAL, is_special

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wirewright.config.values import IPInterface, IPNetwork

POOLS: Final = 63
"""Of a gateway. The packet filter takes one more, for where leases are served."""
ADDRESSES: Final = 64
"""Of a device."""
SHORTEST: Final = {4: 8, 6: 32}
"""Prefix lengths of pools."""
_LARGEST: Final = (1 << 63) - 1
_SINGLE: Final = {4: 32, 6: 128}


def check_settings(addresses: Sequence[IPInterface], pools: Sequence[IPNetwork]) -> None:
    """Check the addresses of a gateway and the networks of its devices."""
    if max(len(addresses), len(pools)) > POOLS:
        raise ValueError(f"a gateway has at most {POOLS} addresses and {POOLS} pools")
    for pool in pools:
        check_pool(pool)
    for address in addresses:
        if address.network not in pools:
            raise ValueError(f"the gateway's address {address} has no pool that is {address.network}")
        if is_special(address.ip):
            raise ValueError(f"the gateway's address {address} is one that has a meaning of its own")


def check_pool(pool: IPNetwork) -> None:
    """Check a network of devices."""
    if pool.prefixlen < SHORTEST[pool.version]:
        raise ValueError(f"the pool {pool} is larger than /{SHORTEST[pool.version]}")
    for special in SPECIAL:
        if (
            special.version == pool.version
            and special.prefixlen < _SINGLE[special.version]
            and pool.overlaps(special)
        ):
            raise ValueError(f"the pool {pool} overlaps {special}, where no devices are")


def check_count(networks: Sequence[object]) -> None:
    """Check how many addresses a device has."""
    if len(networks) > ADDRESSES:
        raise ValueError(f"a device has at most {ADDRESSES} addresses, not {len(networks)}")


def number(value: int | str) -> int:
    """Read a revision, or an instant in microseconds since 1970."""
    if not 0 <= (read := int(value)) <= _LARGEST:
        raise ValueError("a number is not from 0 to 2^63 - 1")
    return read
