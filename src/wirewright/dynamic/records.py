"""What is remembered of leases, and what of it changes together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from wirewright.config.values import IPAddress
    from wirewright.keys import PublicKey


@dataclass(frozen=True, slots=True)
class Lease:
    """What one client has: at most one address of either family. Times are seconds since 1970."""

    key: PublicKey
    ipv4: IPv4Address | None
    ipv6: IPv6Address | None
    start: int
    duration: int

    @property
    def expires(self) -> int:
        """When it ends."""
        return self.start + self.duration

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """Its addresses."""
        return tuple(each for each in (self.ipv4, self.ipv6) if each is not None)

    def address(self, version: int) -> IPAddress | None:
        """Give the one of a family."""
        return self.ipv4 if version == 4 else self.ipv6


@dataclass(frozen=True, slots=True)
class Quarantine:
    """An address that only its last holder may have until then."""

    address: IPAddress
    key: PublicKey
    until: int


@dataclass(frozen=True, slots=True)
class Succession:
    """A key that took, or may take, the place of another."""

    old: PublicKey
    new: PublicKey
    until: int | None = None
    """When the right ends; None if it was used, and the old key is no one's any more."""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes true at once, or not at all."""

    leases: tuple[Lease, ...] = ()
    """New ones, each in the place of the one that the client had."""
    ended: tuple[PublicKey, ...] = ()
    """Clients that have no lease any more."""
    quarantined: tuple[Quarantine, ...] = ()
    freed: tuple[IPAddress, ...] = ()
    """Addresses whose quarantine is over, or was ended by their last holder."""
    successions: tuple[Succession, ...] = ()
    """New ones, each in the place of that with the same old key."""
    forgotten: tuple[PublicKey, ...] = ()
    """Old keys whose succession is remembered no more."""

    def __bool__(self) -> bool:
        return bool(
            self.leases or self.ended or self.quarantined or self.freed or self.successions or self.forgotten
        )


@dataclass(slots=True)
class Records:
    """All that is remembered."""

    leases: dict[PublicKey, Lease] = field(default_factory=dict)
    quarantined: dict[IPAddress, Quarantine] = field(default_factory=dict)
    successions: dict[PublicKey, Succession] = field(default_factory=dict)
    """By the old key."""

    def apply(self, change: Change) -> None:
        """Make a change true."""
        for key in change.ended:
            self.leases.pop(key, None)
        for address in change.freed:
            self.quarantined.pop(address, None)
        for key in change.forgotten:
            self.successions.pop(key, None)
        for lease in change.leases:
            self.leases[lease.key] = lease
        for each in change.quarantined:
            self.quarantined[each.address] = each
        for succession in change.successions:
            self.successions[succession.old] = succession

    def copy(self) -> Records:
        """Give a copy that changes on its own."""
        return Records(dict(self.leases), dict(self.quarantined), dict(self.successions))


class StoreError(OSError):
    """Leases cannot be read or kept; the text says where and what to do."""


class UnsureError(StoreError):
    """What is kept may differ from what is remembered here: it is to be read again.

    Either it is unknown whether a change was kept, or others changed something since.
    """


class AddressTakenError(Exception):
    """Somebody else has an address; ``addresses`` says which, and perhaps names others that are not free."""

    def __init__(self, addresses: tuple[IPAddress, ...]) -> None:
        super().__init__(", ".join(map(str, addresses)))
        self.addresses = addresses


class LeaseStore(Protocol):
    """Where leases outlive the server.

    What ``commit`` has returned from is there after a crash of the process or the machine; what it raised
    for has not happened, unless it raised UnsureError. A store that others write to, such as a database,
    raises AddressTakenError where a new address of a lease is not free any more; the server then chooses
    another.
    """

    async def load(self) -> Records:
        """Give all that is remembered. Raises StoreError."""
        ...

    async def commit(self, change: Change) -> None:
        """Keep a change. Raises StoreError, perhaps an UnsureError, or AddressTakenError."""
        ...
