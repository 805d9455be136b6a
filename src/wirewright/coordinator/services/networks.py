"""Addresses between their bytes in the tables and the types of `ipaddress`."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_interface, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wirewright.config.values import IPAddress, IPInterface, IPNetwork


def address(value: bytes) -> IPAddress:
    """Return the address of 4 or 16 bytes."""
    return IPv4Address(value) if len(value) == 4 else IPv6Address(value)


def single(value: bytes) -> IPNetwork:
    """Return the network of one address."""
    return ip_network(address(value))


def interface(value: bytes, prefix_length: int) -> IPInterface:
    """Return an address with the length of its network's prefix."""
    return ip_interface(f"{address(value)}/{prefix_length}")


def network(first: bytes, prefix_length: int) -> IPNetwork:
    """Return the network that begins at ``first``."""
    return ip_network(f"{address(first)}/{prefix_length}")


def following(value: bytes) -> bytes:
    """Return the next address; after the last one comes the first."""
    size = len(value)
    return ((int.from_bytes(value, "big") + 1) % (1 << 8 * size)).to_bytes(size, "big")
