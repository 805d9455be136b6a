"""What a tunnel that serves as a gateway carries for its peers, by the host's own sockets.

Without root no packet of a peer can leave the host as it is. So the core ends its TCP connections, its UDP
flows and its pings, and begins others of its own towards the same destinations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from ipaddress import ip_network
from typing import TypedDict

from wirewright.tunnel.arguments import Network, check_number

EVERYWHERE: tuple[Network, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))

_MOST = 65_535
_LONGEST = 1_000_000.0


class CoreForwarding(TypedDict):
    """The same as the core takes it."""

    reach: list[str]
    host: bool
    connections: int
    connections_per_peer: int
    flows: int
    flows_per_peer: int
    connect_timeout: float
    connection_idle: float
    datagram_idle: float
    unanswered_idle: float
    echo_idle: float


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What peers may reach through the host of a tunnel, and how much of it at once.

        Tunnel(config, forwarding=Forwarding(reach=("10.0.0.0/8", "fd00::/8")))

    Networks in ``reach`` may be text. What a network of it contains can be reached, but for what is the
    host's own or special: its loopback, link-local addresses and those of a cloud's metadata, groups, and
    what embeds one of these. Such an address is opened only by a network that lies inside the special one
    ("127.0.0.1/32" does).

    Raises ``ValueError`` for a network or a number that cannot be, ``TypeError`` for what is neither.
    """

    reach: Iterable[Network | str] = EVERYWHERE
    """Destinations outside the tunnel. Always a tuple of networks once it is made."""
    host: bool = False
    """Whether the addresses of the host's own interfaces count as outside, and so every service that listens
    on all of them. A network of one address that is named in ``reach`` opens that one without this."""
    connections: int = 4_096
    """TCP connections of all peers; each takes a descriptor."""
    connections_per_peer: int = 1_024
    flows: int = 4_096
    """UDP flows and pings of all peers; each takes a descriptor."""
    flows_per_peer: int = 1_024
    connect_timeout: float = 30.0
    """Seconds after which a destination that does not answer counts as unreachable."""
    connection_idle: float = 7_440.0
    """Seconds after which a connection without a byte is ended: 2 h 4 min (RFC 5382, REQ-5)."""
    datagram_idle: float = 180.0
    """Seconds after which a UDP flow that was answered is forgotten."""
    unanswered_idle: float = 30.0
    """The same of one without an answer."""
    echo_idle: float = 30.0
    """The same of a ping."""

    def __post_init__(self) -> None:
        if isinstance(self.reach, str):
            raise TypeError(f"reach takes a sequence of networks: write ({self.reach!r},).")
        networks = tuple(ip_network(network) for network in self.reach)
        object.__setattr__(self, "reach", networks)
        if not isinstance(self.host, bool):
            raise TypeError(f"host {self.host!r} is neither True nor False")
        for name in ("connections", "connections_per_peer", "flows", "flows_per_peer"):
            check_number(name, getattr(self, name), 0, _MOST)
        for name in (field.name for field in fields(self) if field.type == "float"):
            _check_seconds(name, getattr(self, name))

    def to_core(self) -> CoreForwarding:
        """Return it as the core takes it."""
        return CoreForwarding(
            reach=[str(network) for network in self.reach],
            host=self.host,
            connections=self.connections,
            connections_per_peer=self.connections_per_peer,
            flows=self.flows,
            flows_per_peer=self.flows_per_peer,
            connect_timeout=self.connect_timeout,
            connection_idle=self.connection_idle,
            datagram_idle=self.datagram_idle,
            unanswered_idle=self.unanswered_idle,
            echo_idle=self.echo_idle,
        )


def _check_seconds(name: str, seconds: float) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{name} {seconds!r} is not a number of seconds")
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f"{name} {seconds} is not above 0 and at most {_LONGEST:.0f} seconds")
