"""How often somebody may ask who has proved nothing yet: token buckets, one a source and one for all.

A source is an IPv4 address, or an IPv6 network of 64 bits, which is what one host has. The table of sources
is bounded; the one that asked longest ago is forgotten first, and the bucket for all holds whatever comes
of that. Time is an argument, in seconds of any clock that does not go back.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Final

SOURCES: Final = 4096
"""Sources that are remembered."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once, and then so many a second."""

    burst: float
    per_second: float


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float

    def wait(self, rate: Rate, now: float) -> float:
        """Fill up to ``now``; return the seconds until there is a token."""
        self.tokens = min(rate.burst, self.tokens + (now - self.at) * rate.per_second)
        self.at = now
        return max(0.0, (1 - self.tokens) / rate.per_second)


@dataclass(slots=True)
class Limiter:
    """Admits or refuses."""

    one: Rate = Rate(60, 1)
    all: Rate = Rate(400, 50)
    _sources: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict)
    _every: _Bucket | None = None

    def admit(self, source: str, now: float) -> int | None:
        """Return ``None`` if ``source`` may ask now, or else after how many seconds."""
        if self._every is None:
            self._every = _Bucket(self.all.burst, now)
        bucket = self._bucket(network(source), now)
        wait = max(bucket.wait(self.one, now), self._every.wait(self.all, now))
        if wait > 0:
            return math.ceil(wait)
        bucket.tokens -= 1
        self._every.tokens -= 1
        return None

    def _bucket(self, source: str, now: float) -> _Bucket:
        bucket = self._sources.get(source)
        if bucket is None:
            bucket = self._sources[source] = _Bucket(self.one.burst, now)
        self._sources.move_to_end(source)
        if len(self._sources) > SOURCES:
            self._sources.popitem(last=False)
        return bucket


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
