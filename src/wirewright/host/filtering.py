"""What a packet filter in front of the peers of an interface is told: who is where, and what each may start.

Such a filter is stateful and denies by default. What is told here is flat, a rule a network and a range of
ports, as the engines take it; people write policies, which are shorter (:mod:`wirewright.gateway.policy`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wirewright.config.values import IPAddress, IPNetwork


class Protocol(StrEnum):
    """What a rule is about."""

    ANY = "any"
    TCP = "tcp"
    UDP = "udp"
    ICMP = "icmp"
    """ICMP and ICMPv6: echo requests. Errors about a flow belong to the flow."""

    @property
    def has_ports(self) -> bool:
        """Whether a rule may name ports."""
        return self in (Protocol.TCP, Protocol.UDP)


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports from the first to the last."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last <= 65_535:
            raise ValueError(f"{self} is no range of ports from 0 to 65535")

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class AllowRule:
    """One thing that a peer may start: flows of a protocol to a network, perhaps to certain ports only."""

    network: IPNetwork
    protocol: Protocol = Protocol.ANY
    ports: PortRange | None = None
    """None for all. Only with TCP and UDP."""

    def __post_init__(self) -> None:
        if self.ports is not None and not self.protocol.has_ports:
            raise ValueError(f"{self.protocol} has no ports: only tcp and udp have")

    def __str__(self) -> str:
        """Write it as the UAPI text has it."""
        return f"{self.protocol} {self.network}" + (f" {self.ports}" if self.ports else "")


@dataclass(frozen=True, slots=True)
class PacketFilter:
    """What a filter must know of the interface itself."""

    own: tuple[IPAddress, ...] = ()
    """Addresses of the host inside the tunnel: what comes from them may go to any peer."""
    protected: tuple[IPNetwork, ...] = ()
    """Where the peers are: only a rule whose network lies inside one of these opens them."""
