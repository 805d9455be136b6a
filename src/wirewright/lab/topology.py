"""What a lab is made of, as values: hosts, the links between them, and what those are like.

Nothing here touches the system. A topology that cannot be built is refused when it is made.
"""

import ipaddress
import re
from collections import Counter
from dataclasses import dataclass, field

MOST_HOSTS = 64
LONGEST_DELAY = 3600
"""Seconds that weather may keep a packet."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_INTERFACE = re.compile(r"[a-zA-Z0-9_=+.-]{1,15}")


class TopologyError(ValueError):
    """A topology that cannot be; the text says what is wrong with it, and where."""


@dataclass(frozen=True)
class Route:
    """A route of a host: to a network, or ``default``, via an address."""

    to: str
    via: str

    def __post_init__(self) -> None:
        if self.to not in {"default", "0.0.0.0/0", "::/0"}:
            _parse(ipaddress.ip_network, self.to, "a network")
        _parse(ipaddress.ip_address, self.via, "an address")


@dataclass(frozen=True)
class Nat:
    """Masquerading of what leaves by the interface ``outside``."""

    outside: str
    udp_timeout: int = 30
    """Seconds that a mapping lasts that only one side has used."""
    udp_stream_timeout: int = 120
    """Seconds that it lasts once both have."""
    random_ports: bool = False
    """Whether a mapping gets any port, instead of the inner one where that is free."""

    def __post_init__(self) -> None:
        if min(self.udp_timeout, self.udp_stream_timeout) < 1:
            raise TopologyError("a NAT's timeouts must be at least 1 second")


@dataclass(frozen=True)
class Host:
    """A machine: its own network, processes and `/var/run/wireguard`."""

    name: str
    forward: bool = False
    """Whether it is a router."""
    nat: Nat | None = None
    routes: tuple[Route, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise TopologyError(
                f"{self.name!r} cannot be the name of a host: small letters, digits and dashes, up to 31"
            )


@dataclass(frozen=True)
class Rate:
    """The speed of a link, each way, and the FIFO in front of it."""

    bits: int
    """Bits a second."""
    queue: int = 100_000
    """Bytes that the FIFO holds before it drops."""

    def __post_init__(self) -> None:
        if self.bits < 1000:
            raise TopologyError(f"a rate of {self.bits} bit/s is too low: at least 1000")
        if self.queue < 2000:
            raise TopologyError(f"a FIFO of {self.queue} bytes holds no packet: at least 2000")


@dataclass(frozen=True)
class Weather:
    """What a link does to packets, each way; the same seed does the same."""

    delay: float = 0.0
    """Seconds."""
    jitter: float = 0.0
    """Seconds that a packet waits beyond that, at most: packets overtake each other."""
    loss: float = 0.0
    """The share of packets that are lost, from 0 to 1."""
    reorder: float = 0.0
    """The share of packets that do not wait."""
    largest: int | None = None
    """Bytes of the longest IP packet that passes; longer ones vanish, and nobody is told."""
    seed: int = 1

    def __post_init__(self) -> None:
        # Infinity and what is no number are not between them either.
        if not (0 <= self.delay <= LONGEST_DELAY and 0 <= self.jitter <= LONGEST_DELAY):
            raise TopologyError(f"delay and jitter are from 0 to {LONGEST_DELAY} seconds")
        if not (0 <= self.loss <= 1 and 0 <= self.reorder <= 1):
            raise TopologyError("loss and reorder are shares from 0 to 1")
        if self.largest is not None and self.largest < 68:
            raise TopologyError(f"no network may drop packets of {self.largest} bytes: at least 68 must pass")
        if not 0 <= self.seed < 1 << 64:
            raise TopologyError("a seed is a number of 64 bits")


@dataclass(frozen=True)
class End:
    """Where a link ends: at which host, with which addresses (``10.0.0.1/24``)."""

    host: str
    addresses: tuple[str, ...] = ()
    interface: str = ""
    """By default eth0, eth1 and so on, in the order of the host's links."""

    def __post_init__(self) -> None:
        Host(self.host)
        for address in self.addresses:
            _parse(ipaddress.ip_interface, address, f"{self.host}: an address with its prefix length")
        if self.interface and not _INTERFACE.fullmatch(self.interface):
            raise TopologyError(f"{self.host}: {self.interface!r} cannot be the name of an interface")


def at(host: str, *addresses: str, interface: str = "") -> End:
    """Shorten `End`."""
    return End(host, addresses, interface)


@dataclass(frozen=True)
class Link:
    """A cable between two hosts."""

    left: End
    right: End
    mtu: int = 1500
    rate: Rate | None = None
    weather: Weather | None = None

    def __post_init__(self) -> None:
        if not 68 <= self.mtu <= 65535:
            raise TopologyError(f"an MTU of {self.mtu} bytes is none: from 68 to 65535")


@dataclass(frozen=True)
class Topology:
    """Hosts and links. A host that is only named by a link exists, too."""

    links: tuple[Link, ...]
    hosts: tuple[Host, ...] = ()
    all_hosts: tuple[Host, ...] = field(init=False, repr=False)
    """Those of ``hosts`` first, then those that only links name."""
    all_links: tuple[Link, ...] = field(init=False, repr=False)
    """``links``, with every interface named."""

    def __post_init__(self) -> None:
        named = {host.name: host for host in self.hosts}
        if len(named) != len(self.hosts):
            raise TopologyError("two hosts have the same name")
        for link in self.links:
            for end in (link.left, link.right):
                named.setdefault(end.host, Host(end.host))
        if not 1 <= len(named) <= MOST_HOSTS:
            raise TopologyError(f"a lab has from 1 to {MOST_HOSTS} hosts, not {len(named)}")
        object.__setattr__(self, "all_hosts", tuple(named.values()))
        object.__setattr__(self, "all_links", _with_interfaces(self.links))
        for host in self.all_hosts:
            if host.nat is not None and host.nat.outside not in self.interfaces(host.name):
                raise TopologyError(
                    f"{host.name}: its NAT names {host.nat.outside!r}, which no link gives it"
                )

    def interfaces(self, host: str) -> dict[str, tuple[str, ...]]:
        """Return the interfaces that links give a host, with their addresses."""
        ends = (end for link in self.all_links for end in (link.left, link.right))
        return {end.interface: end.addresses for end in ends if end.host == host}

    def __str__(self) -> str:
        from wirewright.lab.drawing import draw  # noqa: PLC0415 - it draws topologies

        return draw(self)


def _with_interfaces(links: tuple[Link, ...]) -> tuple[Link, ...]:
    count: Counter[str] = Counter()
    taken: set[tuple[str, str]] = set()

    def name(end: End) -> End:
        interface = end.interface or f"eth{count[end.host]}"
        count[end.host] += 1
        if (end.host, interface) in taken:
            raise TopologyError(f"{end.host}: two links end at {interface}")
        taken.add((end.host, interface))
        return End(end.host, end.addresses, interface)

    return tuple(Link(name(link.left), name(link.right), link.mtu, link.rate, link.weather) for link in links)


def _parse(parser: object, text: str, what: str) -> None:
    assert callable(parser)
    try:
        parser(text)
    except ValueError as error:
        raise TopologyError(f"{text!r} is not {what}: {error}") from None
