"""TAI64N timestamps, which keep an initiation from being replayed (paper 5.1 and 5.4.2).

The first message of a handshake is the only one that nobody has put randomness of the *receiver* into, so an
old copy of it would still be valid. Each initiation therefore carries a timestamp, and a responder takes only
a timestamp greater than the greatest one it has taken from that peer. Nothing else about the clock matters:
not its zone, not whether it is right, only that it goes up.

The layout is big-endian, so that comparing two timestamps as byte strings compares them as times.
"""

from .constants import TAI64_UNIX_EPOCH, TIMESTAMP_SIZE
from .errors import MalformedMessageError, ReplayError

_SECONDS_SIZE = 8


def tai64n(unix_seconds: int, nanoseconds: int) -> bytes:
    """Timestamp(): write a Unix time as the 12 bytes of TAI64N. Leap seconds since 1972 may be left out."""
    if not 0 <= nanoseconds < 10**9:
        raise MalformedMessageError("timestamp", f"{nanoseconds} nanoseconds do not fit into one second")
    return (TAI64_UNIX_EPOCH + unix_seconds).to_bytes(8, "big") + nanoseconds.to_bytes(4, "big")


def unix_time(timestamp: bytes) -> tuple[int, int]:
    """Read TAI64N back as Unix seconds and nanoseconds, for people: the protocol only ever compares bytes."""
    _require_size(timestamp)
    seconds = int.from_bytes(timestamp[:_SECONDS_SIZE], "big") - TAI64_UNIX_EPOCH
    return seconds, int.from_bytes(timestamp[_SECONDS_SIZE:], "big")


def newest_timestamp(received: bytes, greatest: bytes | None) -> bytes:
    """Give the peer's new greatest timestamp, or raise ReplayError; `greatest` is None before the first."""
    _require_size(received)
    if greatest is not None and received <= greatest:
        raise ReplayError(f"timestamp: {received.hex()} is not greater than {greatest.hex()}, taken before")
    return received


def _require_size(timestamp: bytes) -> None:
    if len(timestamp) != TIMESTAMP_SIZE:
        raise MalformedMessageError("timestamp", f"has {len(timestamp)} bytes instead of {TIMESTAMP_SIZE}")
