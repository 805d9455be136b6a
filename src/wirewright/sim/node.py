"""A WireGuard device at a place in a simulated network."""

import base64
import hashlib
from dataclasses import dataclass, field

from wirewright._core import PublicKey, SecretKey, VirtualDevice
from wirewright.sim.randomness import Randomness

Address = tuple[str, int]


@dataclass(eq=False)
class Node:
    """A device with its keys, its outer and inner address, and what came out of it."""

    name: str
    outer: Address
    inner: str
    private_key: SecretKey
    device: VirtualDevice
    random: Randomness
    inbox: list[bytes] = field(default_factory=list)
    """Inner packets that arrived."""
    notices: list[tuple[str, PublicKey]] = field(default_factory=list)

    @classmethod
    def make(cls, name: str, outer: Address, inner: str, *, shards: int, mtu: int) -> "Node":
        """Make a device whose key and randomness follow from its name."""
        random = Randomness(name.encode())
        key = SecretKey.from_base64(_base64(hashlib.sha256(b"key of " + name.encode()).digest()))
        return cls(name, outer, inner, key, VirtualDevice(random, shards=shards, mtu=mtu), random)

    @property
    def public_key(self) -> PublicKey:
        """The device's public key."""
        return self.private_key.public_key

    @property
    def payloads(self) -> list[bytes]:
        """What the arrived IPv4 packets carried."""
        return [packet[20:] for packet in self.inbox]


def ipv4(source: str, destination: str, payload: bytes) -> bytes:
    """Make an IPv4 packet without a transport protocol; its checksum is nobody's business here."""
    length = 20 + len(payload)
    head = bytes((0x45, 0, *length.to_bytes(2), 0, 0, 0, 0, 64, 253, 0, 0))
    return head + _octets(source) + _octets(destination) + payload


def _octets(address: str) -> bytes:
    return bytes(int(part) for part in address.split("."))


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
