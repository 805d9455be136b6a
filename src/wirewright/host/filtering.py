"""What a packet filter in front of the peers of an interface is told: who is where, and what each may start.

Such a filter is stateful and denies by default. What is told here is flat, a rule a network and a range of ports,
as the engines take it; people write policies, which are shorter (:mod:`wirewright.gateway.policy`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from wirewright.config.values import IPAddress, IPNetwork

Protocol: TypeAlias = Literal["any", "tcp", "udp", "icmp"]
PROTOCOLS: Final[tuple[Protocol, ...]] = ("any", "tcp", "udp", "icmp")
"""``icmp`` is ICMP and ICMPv6."""
PORTS: Final = range(65_536)


@dataclass(frozen=True, slots=True)
class AllowRule:
    """One thing that a peer may start: flows of a protocol to a network, perhaps to certain ports only."""

    network: IPNetwork
    protocol: Protocol = "any"
    ports: tuple[int, int] | None = None
    """The first and the last of a range; None for all. Only with ``tcp`` and ``udp``."""

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"{self.protocol!r} is none of {', '.join(PROTOCOLS)}")
        if self.ports is None:
            return
        if self.protocol not in ("tcp", "udp"):
            raise ValueError(f"{self.protocol} has no ports: only tcp and udp have")
        first, last = self.ports
        if first not in PORTS or last not in PORTS or first > last:
            raise ValueError(f"{first}-{last} is no range of ports from 0 to 65535")

    def __str__(self) -> str:
        ports = f" {self.ports[0]}-{self.ports[1]}" if self.ports else ""
        return f"{self.protocol} {self.network}{ports}"


@dataclass(frozen=True, slots=True)
class PacketFilter:
    """What a filter must know of the interface itself."""

    own: tuple[IPAddress, ...] = ()
    """Addresses of the host inside the tunnel: what comes from them may go to any peer."""
    protected: tuple[IPNetwork, ...] = ()
    """Where the peers are: only a rule whose network lies inside one of these opens them."""
