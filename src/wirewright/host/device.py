"""What a WireGuard interface is told and tells, whichever engine is behind it.

A :class:`DeviceChange` says what is to differ, a :class:`DeviceState` what is. Both engines take the one and
give the other: the kernel's by generic netlink, ours by the UAPI text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal

from wirewright.config.values import host_and_port

if TYPE_CHECKING:
    from wirewright.config.values import IPAddress, IPNetwork
    from wirewright.host.filtering import AllowRule, PacketFilter
    from wirewright.keys import PresharedKey, PublicKey, SecretKey


PORTS: Final = range(1 << 16)
MARKS: Final = range(1 << 32)
SECONDS: Final = range(1 << 16)


class Nothing(Enum):
    """What stands for a key that is to be taken away, since ``None`` leaves one as it is."""

    KEY = "no key"


NO_KEY: Final = Nothing.KEY


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """Where datagrams go: an address of either family, perhaps with a scope, and a UDP port.

    ValueError: that is no port.
    """

    address: IPAddress
    port: int

    def __post_init__(self) -> None:
        _check("the port of an endpoint", self.port, PORTS)

    def __str__(self) -> str:
        return host_and_port(str(self.address), self.port)


@dataclass(frozen=True, slots=True)
class PeerChange:
    """What is to differ of one peer. Absent (``None``): as it is, or the default of a new one.

    ValueError: a number is out of its range.
    """

    public_key: PublicKey
    remove: bool = False
    update_only: bool = False
    """Do nothing if the interface does not have the peer."""
    preshared_key: PresharedKey | Nothing | None = None
    endpoint: SocketAddress | None = None
    persistent_keepalive: int | None = None
    """Seconds; 0 for none."""
    replace_allowed_ips: bool = False
    """Whether ``allowed_ips`` are all that the peer shall have."""
    allowed_ips: tuple[IPNetwork, ...] = ()
    removed_allowed_ips: tuple[IPNetwork, ...] = ()
    """Networks that the peer shall have no more; those of others stay."""
    rules: tuple[AllowRule, ...] | None = None
    """All that the peer may start, if the interface has a packet filter; only our engine has one."""

    def __post_init__(self) -> None:
        _check("persistent_keepalive", self.persistent_keepalive, SECONDS)


@dataclass(frozen=True, slots=True)
class DeviceChange:
    """What is to differ of an interface and its peers. Absent (``None``): as it is.

    ValueError: a number is out of its range.
    """

    private_key: SecretKey | Nothing | None = None
    listen_port: int | None = None
    """0 for any free one."""
    fwmark: int | None = None
    """0 for none."""
    filter: PacketFilter | Literal[False] | None = None
    """What the packet filter must know, and with it the filter; False for none. Only our engine has one."""
    replace_peers: bool = False
    """Whether ``peers`` are all that the interface shall have."""
    peers: tuple[PeerChange, ...] = ()

    def __post_init__(self) -> None:
        _check("listen_port", self.listen_port, PORTS)
        _check("fwmark", self.fwmark, MARKS)


@dataclass(frozen=True, slots=True)
class PeerState:
    """A peer as it is."""

    public_key: PublicKey
    preshared_key: PresharedKey | None = None
    endpoint: SocketAddress | None = None
    persistent_keepalive: int = 0
    """Seconds; 0 for none."""
    latest_handshake: int = 0
    """Nanoseconds since 1970; 0 if there was none."""
    received: int = 0
    """Bytes of datagrams that were accepted."""
    sent: int = 0
    """Bytes of datagrams."""
    allowed_ips: tuple[IPNetwork, ...] = ()
    protocol_version: int = 1


@dataclass(frozen=True, slots=True)
class DeviceState:
    """An interface as it is, with its peers in the order in which the engine keeps them."""

    name: str
    private_key: SecretKey | None = None
    listen_port: int = 0
    fwmark: int = 0
    peers: tuple[PeerState, ...] = ()

    @property
    def public_key(self) -> PublicKey | None:
        """The public half of its key."""
        return self.private_key.public_key if self.private_key else None


def _check(name: str, number: int | None, possible: range) -> None:
    if number is not None and number not in possible:
        raise ValueError(f"{name} is a number from 0 to {possible[-1]}, not {number!r}")
