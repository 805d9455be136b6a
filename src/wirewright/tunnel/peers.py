"""What the asyncio side knows about each peer: its endpoint as written, and who waits for it.

The core decides where packets go, and is asked for it when a connection is opened or has failed. This book
exists so that waiting can end with a sentence: which peer should have answered, at which endpoint, and
whether it was heard meanwhile. Sessions and what was heard are the core's to tell: its clock goes on while
the machine sleeps.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wirewright.config.values import host_and_port
from wirewright.tunnel.errors import HandshakeTimeoutError, ImpossiblePeerError, NoEndpointError, NoRouteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from wirewright._core import RootlessTunnel
    from wirewright.keys import PublicKey
    from wirewright.tunnel.arguments import Address, Network

# Addresses whose peers are remembered; beyond that the core is asked again.
MAX_REACHED = 1024


@dataclass(slots=True, eq=False)
class Peer:
    """One peer."""

    public_key: PublicKey
    endpoint: tuple[str, int] | None = None
    awaited: asyncio.Future[None] | None = None

    def __str__(self) -> str:
        where = f" at {host_and_port(*self.endpoint)}" if self.endpoint else ""
        return f"peer {self.public_key}{where}"


class PeerBook:
    """The peers of one tunnel."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, core: RootlessTunnel, passed_over: Mapping[Network, Peer]
    ) -> None:
        """``passed_over`` are peers that the core does not have, by their networks."""
        self._loop = loop
        self._passed_over = passed_over
        self._core = core
        self._peers: dict[PublicKey, Peer] = {}
        # What owner() found since the last change: asking the core takes its lock, and each datagram asks.
        self._reached: dict[Address, Peer] = {}

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers.values())

    def __len__(self) -> int:
        return len(self._peers)

    def get(self, public_key: PublicKey) -> Peer | None:
        """Return the peer with that key."""
        return self._peers.get(public_key)

    def only(self) -> Peer:
        """Return the one peer of a tunnel that has one."""
        if len(self._peers) != 1:
            raise ValueError(f"The tunnel has {len(self._peers)} peers: say which one by its public key.")
        return next(iter(self))

    def add(self, peer: Peer) -> None:
        """Enter a peer."""
        self._peers[peer.public_key] = peer
        self.changed()

    def changed(self) -> None:
        """Ask the core anew: addresses may belong to other peers now."""
        self._reached.clear()

    def remove(self, public_key: PublicKey) -> None:
        """Forget a peer; who waits for it is told."""
        peer = self._peers.pop(public_key, None)
        if peer is not None:
            self.changed()
            self._settle(peer, NoRouteError(f"{peer} was removed from the tunnel."))

    def owner(self, address: Address, what: str) -> Peer:
        """Return the peer that owns ``address``, or raise the reason why ``what`` cannot be reached."""
        if (reached := self._reached.get(address)) is not None:
            return reached
        peer = self.find(address)
        if peer is None:
            for network, passed_over in self._passed_over.items():
                if address in network:
                    raise NoRouteError(
                        f"{what} is not reached through this tunnel: it is in the AllowedIPs of "
                        f"{passed_over}, which was passed over, because that is this tunnel's own public "
                        "key. Put the key of the other end there."
                    )
            raise NoRouteError(
                f"{what} is not reached through this tunnel: no peer's allowed IPs cover it. Add it to the "
                "AllowedIPs of the peer behind which it lives, or connect to it outside the tunnel."
            )
        check_key(peer)
        if peer.endpoint is None and not self._has_called(peer):
            raise NoEndpointError(
                f"{what} lives behind {peer}, whose endpoint is unknown: the configuration has no Endpoint "
                "for it and it has not contacted us yet. Add one, or wait for it (wait_for_handshake)."
            )
        if len(self._reached) >= MAX_REACHED:
            self._reached.clear()
        self._reached[address] = peer
        return peer

    def find(self, address: Address) -> Peer | None:
        """Return the peer that owns ``address``, if there is one."""
        text = str(address)
        # A scope, as in fe80::1%eth0, names an interface, and there is none inside a tunnel.
        key = None if "%" in text else self._core.owner(text)
        return None if key is None else self._peers.get(key)

    def _has_called(self, peer: Peer) -> bool:
        return self._status(peer).get("endpoint") is not None

    def _status(self, peer: Peer) -> dict[str, Any]:
        return self._core.peer(peer.public_key) or {}

    # Handshakes.

    def has_session(self, peer: Peer) -> bool:
        """Whether packets can be sent to the peer; it may have gone since they could."""
        return bool(self._status(peer).get("has_session"))

    def listen(self, peer: Peer) -> Callable[[], bool]:
        """Return what tells whether anything genuine came from the peer since now."""

        def received() -> int:
            return int(self._status(peer).get("rx_bytes", 0))

        before = received()
        return lambda: received() > before

    def established(self, public_key: PublicKey) -> None:
        """Note that a session with the peer was established."""
        if (peer := self._peers.get(public_key)) is not None:
            self._settle(peer, None)

    def gave_up(self, public_key: PublicKey) -> None:
        """Note that the core's attempts to reach the peer are exhausted."""
        if (peer := self._peers.get(public_key)) is not None:
            self._settle(peer, no_answer(peer, None))

    def closed(self, error: OSError) -> None:
        """Tell everybody who waits that the tunnel is closed."""
        for peer in self:
            self._settle(peer, error)

    def next_handshake(self, peer: Peer) -> asyncio.Future[None]:
        """Return the future, shared by all who wait, of the peer's next session; do not cancel it."""
        if peer.awaited is None:
            peer.awaited = self._loop.create_future()
        return peer.awaited

    def _settle(self, peer: Peer, error: OSError | None) -> None:
        future, peer.awaited = peer.awaited, None
        if future is None or future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
            # All who waited may have left: their error is nobody's then, and not worth a warning.
            future.exception()


def check_key(peer: Peer) -> None:
    """Raise ``ImpossiblePeerError`` if no handshake with the peer can succeed."""
    if peer.public_key.is_low_order:
        raise ImpossiblePeerError(
            f"No handshake with {peer} can succeed: its public key is of low order, which no private key "
            "gives. Ask whoever runs the peer for its real key (ww pubkey)."
        )


def no_answer(peer: Peer, seconds: float | None) -> HandshakeTimeoutError:
    """Say that ``peer`` does not answer the handshake."""
    within = f" within {seconds:g} s" if seconds is not None else ""
    return HandshakeTimeoutError(
        f"No handshake answer from {peer}{within}. Is it up, is this its public key and does it have ours "
        "(and the same preshared key, if any), and does UDP to that endpoint pass every firewall between?"
    )


def silence(peer: Peer, heard: bool, question: str) -> str:
    """Say of a silent host whether its peer was heard; ``question`` is what to ask of the host."""
    if heard:
        return f"though {peer} does. Is the host up, and {question}?"
    return (
        f"and nothing else came from {peer} in that time. Is the peer still there, is the host behind it up, "
        f"and {question}?"
    )
