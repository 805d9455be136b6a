"""What a configuration says: immutable, typed, and valid once it exists.

``None`` stands for a key that is absent. Two models are equal if they configure the same; how a file spells
it is the affair of :class:`wirewright.config.Document`.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Self

from wirewright.config.parts import SPACE, Parts, plain, redacted
from wirewright.config.values import (
    MTU_RANGE,
    U32_MAX,
    Endpoint,
    IPAddress,
    IPInterface,
    IPNetwork,
    Table,
    read_name_server,
)
from wirewright.keys import PresharedKey, PublicKey, SecretKey


@dataclass(frozen=True, slots=True)
class Hook:
    """A command that ``wg-quick`` would run. Wirewright keeps it and never runs it unasked.

    What looks like a key within it stays hidden in the core; ``str()`` shows a word in its place.
    """

    parts: Parts

    def __post_init__(self) -> None:
        text = plain(self.parts)
        if not text or text != text.strip(SPACE) or set("\n#\0") & set(text):
            raise ValueError(
                "a hook is a command on one line, without white space at its ends and without '#', "
                "which would begin a comment"
            )

    @classmethod
    def of(cls, command: str) -> Self:
        """Make a hook of a command; raises ValueError if it cannot stand on one line of a file."""
        # Read as the value it will be, so that it is the same hook when it comes back from a file.
        prefix = "PostUp = "
        text = redacted(prefix + command.strip(SPACE))
        return cls(text.parts(text.text[len(prefix) :]))

    def __str__(self) -> str:
        return plain(self.parts)


@dataclass(frozen=True, slots=True)
class Interface:
    """The interface itself: the keys of the ``[Interface]`` section."""

    private_key: SecretKey | None = None
    addresses: tuple[IPInterface, ...] = ()
    """Addresses inside the tunnel."""
    listen_port: int | None = None
    """UDP port; None or 0 for any free one."""
    fwmark: int | None = None
    """Mark of outer packets; None or 0 for none."""
    dns: tuple[IPAddress | str, ...] = ()
    """Servers (addresses) and search domains (strings), in order."""
    mtu: int | None = None
    """Bytes of the largest inner packet; None to find it out."""
    table: Table | None = None
    """Routing table for the peers' networks; None is "auto"."""
    pre_up: tuple[Hook, ...] = ()
    post_up: tuple[Hook, ...] = ()
    pre_down: tuple[Hook, ...] = ()
    post_down: tuple[Hook, ...] = ()
    save_config: bool = False
    """Whether ``wg-quick`` overwrites the file with the interface's state when it takes it down."""

    def __post_init__(self) -> None:
        _check_number("listen_port", self.listen_port, range(65536))
        _check_number("fwmark", self.fwmark, range(U32_MAX + 1))
        _check_number("mtu", self.mtu, MTU_RANGE)
        if not isinstance(self.table, str):
            _check_number("table", self.table, range(1, U32_MAX + 1))
        elif self.table not in {"off", "auto"}:
            raise ValueError(f"table {self.table!r} is not off, auto or a number")
        for address in self.addresses:
            _check_scope(address)
        for item in self.dns:
            if read_name_server(str(item)) != item:
                raise ValueError(f"{item!r} is no search domain, but an address")

    @property
    def dns_servers(self) -> tuple[IPAddress, ...]:
        """The addresses among ``dns``."""
        return tuple(item for item in self.dns if isinstance(item, IPv4Address | IPv6Address))

    @property
    def search_domains(self) -> tuple[str, ...]:
        """The names among ``dns``."""
        return tuple(item for item in self.dns if isinstance(item, str))

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """All commands, in the order they would run."""
        return self.pre_up + self.post_up + self.pre_down + self.post_down


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer: the keys of one ``[Peer]`` section."""

    public_key: PublicKey
    preshared_key: PresharedKey | None = None
    allowed_ips: tuple[IPNetwork, ...] = ()
    """Networks whose packets go to and may come from this peer; none twice."""
    endpoint: Endpoint | None = None
    persistent_keepalive: int | None = None
    """Seconds; None or 0 for none."""

    def __post_init__(self) -> None:
        _check_number("persistent_keepalive", self.persistent_keepalive, range(65536))
        for network in self.allowed_ips:
            _check_scope(network.network_address)
        object.__setattr__(self, "allowed_ips", tuple(dict.fromkeys(self.allowed_ips)))


def _check_number(name: str, number: int | None, numbers: range) -> None:
    if number is not None and number not in numbers:
        raise ValueError(f"{name} {number} is not from {numbers[0]} to {numbers[-1]}")


def _check_scope(address: IPAddress) -> None:
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError(f"{address} has a scope, which means nothing inside a tunnel")
