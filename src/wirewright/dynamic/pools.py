"""The addresses that may be handed out, and how a free one is found.

Of an IPv4 block shorter than /31 the first and the last address are kept back, as the protocol has it; of
an IPv6 block shorter than /127 the first one, which is the routers' anycast address (RFC 4291, section
2.6.1).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence

    from wirewright.config.values import IPAddress, IPNetwork

    RandomBelow = Callable[[int], int]


@dataclass(frozen=True, slots=True)
class _Range:
    first: int
    last: int

    @property
    def size(self) -> int:
        return self.last - self.first + 1


class Pools:
    """Networks of both families, out of which single addresses are handed out."""

    def __init__(self, networks: Iterable[IPNetwork]) -> None:
        """Take networks; one that lies in another adds nothing."""
        self.networks = _outermost(networks)
        self._ranges = {
            version: [each for n in self.networks if n.version == version if (each := _usable(n)).size > 0]
            for version in (4, 6)
        }

    def __bool__(self) -> bool:
        return bool(self.networks)

    def size(self, version: int) -> int:
        """Count the addresses of a family that may be handed out."""
        return sum(each.size for each in self._ranges[version])

    def __contains__(self, address: IPAddress) -> bool:
        value = int(address)
        return any(each.first <= value <= each.last for each in self._ranges[address.version])

    def has_part(self, network: IPNetwork) -> bool:
        """Whether a network lies inside one of the pools."""
        return any(_inside(network, each) for each in self.networks)

    def choose(
        self,
        version: int,
        taken: Container[IPAddress],
        count: int,
        blocked: Blocked,
        random_below: RandomBelow,
    ) -> IPAddress | None:
        """Choose a free address from a random place on; None if there is none.

        ``taken`` are at most ``count`` single addresses, ``blocked`` networks. So one of ``count`` + 1 that
        are not blocked is free, and no more are tried.
        """
        size = self.size(version)
        if not size:
            return None
        make = IPv4Address if version == 4 else IPv6Address
        # As many again for each end of a blocked network, or of a range, that is passed.
        tries = min(size, count + 1) + len(blocked) + len(self._ranges[version]) + 1
        value = self._nth(version, random_below(size))
        for _ in range(tries):
            end = blocked.end(version, value)
            if end is None:
                address = make(value)
                if address not in taken:
                    return address
                end = value
            value = self._after(version, end)
        return None

    def _nth(self, version: int, number: int) -> int:
        for each in self._ranges[version]:
            if number < each.size:
                return each.first + number
            number -= each.size
        raise IndexError(number)

    def _after(self, version: int, value: int) -> int:
        """Give the next address behind one that may lie in a gap, the first one behind the last."""
        for each in self._ranges[version]:
            if value < each.last:
                return max(value + 1, each.first)
        return self._ranges[version][0].first


class Blocked:
    """Networks inside the pools of which nothing is handed out, found by any address in them."""

    def __init__(self, networks: Iterable[IPNetwork]) -> None:
        self._networks = {4: _Sorted(networks, 4), 6: _Sorted(networks, 6)}

    def __len__(self) -> int:
        return sum(len(each.starts) for each in self._networks.values())

    def __contains__(self, address: IPAddress) -> bool:
        return self.end(address.version, int(address)) is not None

    def end(self, version: int, value: int) -> int | None:
        """Give the last address of the network that an address is in."""
        found = self._networks[version]
        position = bisect_right(found.starts, value) - 1
        return found.ends[position] if position >= 0 and found.ends[position] >= value else None


class _Sorted:
    def __init__(self, networks: Iterable[IPNetwork], version: int) -> None:
        chosen = sorted(
            (each for each in _outermost(networks) if each.version == version),
            key=lambda n: int(n.network_address),
        )
        self.starts = [int(each.network_address) for each in chosen]
        self.ends = [int(each.broadcast_address) for each in chosen]


def _outermost(networks: Iterable[IPNetwork]) -> Sequence[IPNetwork]:
    """Leave out networks that lie in others; give the rest in order."""
    found: list[IPNetwork] = []
    for network in sorted(set(networks), key=lambda n: (n.version, int(n.network_address), n.prefixlen)):
        if not found or not _inside(network, found[-1]):
            found.append(network)
    return tuple(found)


def _inside(network: IPNetwork, outer: IPNetwork) -> bool:
    return (
        network.version == outer.version
        and network.prefixlen >= outer.prefixlen
        and network.network_address in outer
    )


def _usable(network: IPNetwork) -> _Range:
    first, last = int(network.network_address), int(network.broadcast_address)
    if network.prefixlen < network.max_prefixlen - 1:
        first += 1
        last -= network.version == 4
    return _Range(first, last)
