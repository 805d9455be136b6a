"""What `top` knows of interfaces: how they are, and how that differs from how they were.

A :class:`View` is a value; :func:`advanced` makes the next of it and of what the engines tell now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wirewright.host.device import DeviceState, PeerState
    from wirewright.keys import PublicKey

REMEMBERED: Final = 24
"""Rates of a peer that are kept, the last of them now."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an interface tells at one time."""

    state: DeviceState
    engine: str
    counters: Mapping[str, int] | None = None
    """What was dropped and why, where the engine counts it."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes a second in each direction."""

    received: float = 0.0
    sent: float = 0.0

    @property
    def both(self) -> float:
        """In both together."""
        return self.received + self.sent


@dataclass(frozen=True, slots=True)
class PeerView:
    """A peer, and its rates."""

    state: PeerState
    rates: tuple[Rate, ...] = ()
    """The newest last; none at the first look."""

    @property
    def rate(self) -> Rate:
        """The newest."""
        return self.rates[-1] if self.rates else Rate()


@dataclass(frozen=True, slots=True)
class InterfaceView:
    """An interface, its peers, and what was dropped."""

    told: Told
    peers: tuple[PeerView, ...]
    dropped: Mapping[str, int]
    """By how much its counters went up since the last look, where they did."""

    @property
    def rate(self) -> Rate:
        """Of all peers together."""
        rates = [peer.rate for peer in self.peers]
        return Rate(sum(rate.received for rate in rates), sum(rate.sent for rate in rates))


@dataclass(frozen=True, slots=True)
class View:
    """All interfaces that are looked at, in the order of their names."""

    interfaces: tuple[InterfaceView, ...] = ()


def advanced(view: View, told: Sequence[Told], seconds: float) -> View:
    """Give what is known after another look, so many seconds after the last."""
    before = {each.told.state.name: each for each in view.interfaces}
    ordered = sorted(told, key=lambda each: each.state.name)
    return View(tuple(_interface(before.get(each.state.name), each, seconds) for each in ordered))


def _interface(before: InterfaceView | None, told: Told, seconds: float) -> InterfaceView:
    peers = {peer.state.public_key: peer for peer in before.peers} if before else {}
    old = (before.told.counters if before else None) or {}
    dropped = {
        name: count - old.get(name, 0)
        for name, count in (told.counters or {}).items()
        if before is not None and count > old.get(name, 0)
    }
    return InterfaceView(told, tuple(_peer(peers, peer, seconds) for peer in told.state.peers), dropped)


def _peer(before: Mapping[PublicKey, PeerView], peer: PeerState, seconds: float) -> PeerView:
    old = before.get(peer.public_key)
    if old is None or seconds <= 0:
        return PeerView(peer, old.rates if old else ())
    # What counts from zero again was removed and added.
    rate = Rate(
        max(0, peer.received - old.state.received) / seconds, max(0, peer.sent - old.state.sent) / seconds
    )
    return PeerView(peer, (*old.rates, rate)[-REMEMBERED:])
