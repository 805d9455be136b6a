"""How often somebody may ask who has proved nothing yet: token buckets, one a source and one for all.

A source is an IPv4 address, or an IPv6 network of 64 bits, which is what one host has. Buckets of sources are
bounded (`MAX_CLIENTS`), and the bucket for all holds whatever comes of one that was forgotten.
"""

from __future__ import annotations

import math
from ipaddress import IPv6Address, ip_address
from typing import Final

from wirewright.dynamic.churn import Buckets, Rate

ONE: Final = Rate(60, 1.0)
EVERY: Final = Rate(400, 0.02)


class Limiter:
    """Admits or refuses. Time is monotonic, in seconds."""

    def __init__(self, one: Rate = ONE, every: Rate = EVERY) -> None:
        self._one = Buckets(one)
        self._every = Buckets(every)

    def admit(self, source: str, now: float) -> int | None:
        """Return ``None`` if ``source`` may ask now, or else after how many seconds."""
        key = network(source)
        wait = max(self._one.wait(key, now), self._every.wait(None, now))
        if wait > 0:
            return math.ceil(wait)
        self._one.take(key, now)
        self._every.take(None, now)
        return None


def network(source: str) -> str:
    """Return what stands for all the addresses of one source."""
    try:
        address = ip_address(source)
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else address.packed[:8].hex()
    return str(address)
