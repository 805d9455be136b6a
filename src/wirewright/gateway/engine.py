"""What carries the packets of a gateway's devices: one protocol for :mod:`wirewright.gateway.engines`.

All methods raise OSError with words for a person.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wirewright.config.values import IPAddress, IPNetwork
    from wirewright.gateway.members import EngineChange
    from wirewright.keys import PublicKey


class UnfitError(OSError):
    """What a coordinator says cannot be on this host; something else may be."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A peer as the engine sees it."""

    public_key: PublicKey
    received: int = 0
    """Bytes of datagrams that were accepted, since the interface is there."""
    sent: int = 0
    latest_handshake: int | None = None
    """Microseconds since 1970."""
    endpoint: str | None = None
    """HOST:PORT, with an IPv6 address in brackets."""


class GatewayEngine(Protocol):
    """Has the members of a gateway as its peers, and forwards for them."""

    @property
    def description(self) -> str:
        """What it is, for a person: such as ``the kernel's WireGuard on wg0``."""
        ...

    async def apply(self, change: EngineChange) -> None:
        """Be as a change says.

        The first one is whole, and begins: in the place of what an engine of before may have left that was
        killed. A later one that is whole mends whatever happened meanwhile. One that raised may be done in
        part; a whole one follows.
        """
        ...

    async def observe(self) -> Sequence[Observed]:
        """Tell of the peers. Raises also if the interface is gone, or what serves it does not answer."""
        ...

    async def counters(self) -> Mapping[str, int]:
        """Tell what was dropped, by its cause, as far as the engine counts it."""
        ...

    async def close(self) -> None:
        """End, and take away exactly what was made. It may be called whatever became of ``apply``."""
        ...


class Service(Protocol):
    """Something that serves devices beside the engine, such as leases on its interface."""

    def serving(self, engine: GatewayEngine, told: Told) -> AbstractAsyncContextManager[object]:
        """Serve while the block runs: it begins when the engine has, and ends before it does."""
        ...


class Told(Protocol):
    """What a coordinator has said last, as far as a service needs it."""

    @property
    def pools(self) -> tuple[IPNetwork, ...]:
        """The networks of devices."""
        ...

    @property
    def leased(self) -> frozenset[IPAddress]:
        """The addresses that devices have on lease."""
        ...
