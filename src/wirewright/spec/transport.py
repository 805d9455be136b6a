"""Transport data: inner packets, sealed one by one (paper 5.4.6).

A sender pads the packet with zeros to a multiple of 16 bytes, so that its length tells less, and seals it
under the next value of a counter, which starts at 0 with each key. A receiver opens it and throws the padding
away, whose length is nowhere written: the inner packet's own IP header says how long that packet is. Sealing
nothing at all is a keepalive.

UDP reorders, so the receiver cannot insist on counters that go up. It remembers which of the newest 8129
counters it has seen, and takes each of them once. Older ones it refuses, because it cannot remember them all.
A counter is noted only *after* the message has authenticated; otherwise a forged counter could push true
messages out of the window.

            too old: refused                 each taken once                  not seen yet: taken
    <------------------------------|--------------------------------|---------------------------------->
     ... newest-8130  newest-8129     newest-8128  ...       newest     newest+1  ...   2^64 - 2^13 - 2
"""

from enum import Enum

from .constants import PADDING_MULTIPLE, REJECT_AFTER_MESSAGES, REPLAY_WINDOW
from .errors import ExhaustedError, MalformedMessageError, MisdirectedError, ReplayError
from .handshake import Session
from .messages import Data
from .primitives import aead, aead_open

# Sealing and opening ----------------------------------------------------------------------------------------


def seal(session: Session, counter: int, packet: bytes, *, mtu: int | None = None) -> Data:
    """Seal one inner packet, or with b"" a keepalive. No counter may be used twice in a session."""
    _require_unexhausted(counter)
    return Data(
        receiver=session.remote_index,
        counter=counter,
        packet=aead(session.sending_key, counter, pad(packet, mtu=mtu), b""),  # Aead(Tsend, Nsend, P, ε)
    )


def unseal(session: Session, message: Data) -> bytes:
    """Open a message and give what was sealed, padding included. Replays are not looked for here."""
    if message.receiver != session.local_index:
        raise MisdirectedError("Data.receiver", expected=session.local_index, found=message.receiver)
    _require_unexhausted(message.counter)
    return aead_open(session.receiving_key, message.counter, message.packet, b"", field="Data.packet")


def receive(session: Session, window: "ReplayWindow", message: Data) -> bytes:
    """Do all that a receiver does: authenticate, refuse replays, trim. A keepalive gives no bytes."""
    padded = unseal(session, message)
    verdict = window.accept(message.counter)
    if verdict is not Verdict.FRESH:
        raise ReplayError(
            f"Data.counter: {message.counter} is {verdict.value}, the newest is {window.newest}"
        )
    return trim(padded)


def _require_unexhausted(counter: int) -> None:
    if counter >= REJECT_AFTER_MESSAGES:
        raise ExhaustedError(f"Data.counter: {counter} is past the last one, {REJECT_AFTER_MESSAGES - 1}")


# Padding ----------------------------------------------------------------------------------------------------


def pad(packet: bytes, *, mtu: int | None = None) -> bytes:
    """Append zeros up to a multiple of 16 bytes, but never beyond the inner MTU, which fits the outer one."""
    size = -(-len(packet) // PADDING_MULTIPLE) * PADDING_MULTIPLE
    if mtu is not None:
        size = min(size, mtu)
    return packet.ljust(size, b"\0")


def trim(padded: bytes) -> bytes:
    """Cut a packet to the length in its IP header; no bytes stay no bytes.

    IPv4 (RFC 791 section 3.1) gives the length of the whole packet in bytes 2 and 3, IPv6 (RFC 8200 section
    3) the length of what follows its 40-byte header in bytes 4 and 5. Whether its source address may be used
    by this peer (paper 2) is for the caller to check, who knows the peers.
    """
    if not padded:
        return b""
    version = padded[0] >> 4
    match version:
        case 4:
            header, length = 20, int.from_bytes(padded[2:4], "big")
        case 6:
            header, length = 40, 40 + int.from_bytes(padded[4:6], "big")
        case _:
            raise MalformedMessageError("inner packet", f"IP version {version} is neither 4 nor 6")
    if len(padded) < header:
        raise MalformedMessageError(
            "inner packet", f"{len(padded)} bytes cannot hold the {header}-byte header of IPv{version}"
        )
    if not header <= length <= len(padded):
        raise MalformedMessageError(
            "inner packet", f"its IPv{version} header says {length} bytes, but {len(padded)} arrived"
        )
    return padded[:length]


# Replays ----------------------------------------------------------------------------------------------------


class Verdict(Enum):
    """What the replay window says about a counter."""

    FRESH = "fresh"
    DUPLICATE = "a duplicate"
    TOO_OLD = "too old"


class ReplayWindow:
    """The simplest window there can be: it remembers every counter for ever.

    A real one keeps a ring of bits (RFC 6479) and has to get shifting and wrapping right. This one has
    nothing to get wrong, which is why it can judge the real one.
    """

    def __init__(self) -> None:
        self.newest: int | None = None
        self._seen: set[int] = set()

    def judge(self, counter: int) -> Verdict:
        """Say what would become of this counter, and change nothing."""
        if self.newest is not None and counter < self.newest - REPLAY_WINDOW:
            return Verdict.TOO_OLD
        return Verdict.DUPLICATE if counter in self._seen else Verdict.FRESH

    def accept(self, counter: int) -> Verdict:
        """Judge a counter and note it if it is fresh. Only for a message that has authenticated."""
        verdict = self.judge(counter)
        if verdict is Verdict.FRESH:
            self._seen.add(counter)
            self.newest = counter if self.newest is None else max(self.newest, counter)
        return verdict
