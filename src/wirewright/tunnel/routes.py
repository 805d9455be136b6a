"""Which peer owns an address: the core's trie in small, asked when a connection is opened or has failed.

Packets never come here. One dictionary per prefix length, tried from the longest to the shortest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from wirewright.tunnel.arguments import Address, Network

Owner = TypeVar("Owner")


class Routes(Generic[Owner]):
    """Prefixes and their owners; a prefix has one owner, the last that claimed it."""

    def __init__(self) -> None:
        self._owners: dict[tuple[int, int], dict[int, Owner]] = {}
        self._lengths: dict[int, list[int]] = {4: [], 6: []}

    def claim(self, network: Network, owner: Owner) -> None:
        """Give ``network`` to ``owner``, whoever had it before."""
        key = (network.version, network.prefixlen)
        if key not in self._owners:
            self._owners[key] = {}
            self._sort_lengths()
        self._owners[key][int(network.network_address)] = owner

    def release(self, network: Network, owner: Owner) -> None:
        """Take ``network`` from ``owner``; nothing happens if another claimed it since."""
        key = (network.version, network.prefixlen)
        table = self._owners.get(key, {})
        if table.get(int(network.network_address)) is owner:
            del table[int(network.network_address)]
            if not table:
                del self._owners[key]
                self._sort_lengths()

    def lookup(self, address: Address) -> Owner | None:
        """Return the owner of the longest prefix that covers ``address``."""
        number = int(address)
        for length in self._lengths[address.version]:
            shift = address.max_prefixlen - length
            owner = self._owners[address.version, length].get(number >> shift << shift)
            if owner is not None:
                return owner
        return None

    def _sort_lengths(self) -> None:
        for family in self._lengths:
            lengths = [length for version, length in self._owners if version == family]
            self._lengths[family] = sorted(lengths, reverse=True)
