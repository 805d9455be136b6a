"""What anybody can send to an open UDP port, while the tunnel works."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.interop.flood import initiations
from tests.interop.relay import bound, readable, until
from tests.interop.services import digest, payload
from wirewright.keys import SecretKey

if TYPE_CHECKING:
    from tests.interop.lab import Lab

SEED = 20
NUMBER = 400


def garbage() -> list[bytes]:
    """Noise of all lengths, and noise with the type and length of each message."""
    source = random.Random(SEED)
    noise = [source.randbytes(source.randrange(1, 2000)) for _ in range(NUMBER)]
    shaped = [
        bytes([type_, 0, 0, 0]) + source.randbytes(length - 4)
        for type_, length in [(1, 148), (2, 92), (3, 64), (4, 32), (4, 1452)]
        for _ in range(NUMBER)
    ]
    cut = [
        bytes([type_, 0, 0, 0])[:length] + bytes(max(0, length - 4))
        for type_ in range(6)
        for length in [1, 3, 4, 31, 63, 65, 91, 93, 147, 149, 65507]
    ]
    source.shuffle(mixed := [*noise, *shaped, *cut])
    return mixed


def test_garbage_is_counted_and_changes_nothing(lab: Lab) -> None:
    us, them = lab.pair()
    assert us.ping(them.addresses[0]) < 10
    before = us.call("stats")
    assert sum(before["counters"].values()) == 0
    pings = us.start("pings", host=them.addresses[0], duration=3, interval=0.05)
    size = 4_000_000
    echo = us.start("echo", host=them.addresses[0], port=them.call("serve"), size=size)
    with bound("127.0.0.1") as stranger:
        for number, datagram in enumerate(garbage()):
            stranger.sendto(datagram, ("127.0.0.1", us.port))
            if number % 50 == 0:
                # In turn with the tunnel, lest the kernel drop what does not fit the socket's buffer.
                us.call("stats")
        assert echo.result(40) == digest(payload(size))
        assert None not in pings.result(40)
        assert not readable(stranger), "garbage was answered"
    counters = us.call("stats")["counters"]
    assert counters["bad_mac1"] >= NUMBER
    assert counters["bad_cookie"] >= NUMBER // 2
    assert counters["no_session"] >= NUMBER
    assert counters["bad_type"] + counters["bad_length"] >= NUMBER
    # The peer did not move to where the garbage came from.
    assert us.peer(them.public_key)["endpoint"] == ["127.0.0.1", them.port]


def test_forged_data_for_a_real_session_is_counted_and_moves_nothing(lab: Lab) -> None:
    relay = lab.relay()
    us, them = lab.pair(relay=relay)
    assert us.ping(them.addresses[0]) < 10
    real = relay.of(4, by_us=False)[-1].datagram
    with bound("127.0.0.1") as stranger:
        # Each bit but the first byte's and the reserved ones, which make it another message or none.
        flips = random.Random(SEED).sample(range(16 * 8, len(real) * 8), 100)
        for bit in flips:
            forged = bytearray(real)
            forged[8] ^= 0x80  # a counter that was not seen yet
            forged[bit // 8] ^= 1 << bit % 8
            stranger.sendto(forged, ("127.0.0.1", us.port))
        until(lambda: us.count("authentication_failed") == len(flips), "each is counted")
    assert us.peer(them.public_key)["endpoint"] == list(relay.left)
    assert us.ping(them.addresses[0]) < 10
    assert len(relay.of(1)) == 1


def test_initiations_for_somebody_else_are_dropped_by_mac1(lab: Lab) -> None:
    us, them = lab.pair()
    assert us.ping(them.addresses[0]) < 10
    with bound("127.0.0.1") as stranger:
        for initiation in initiations(SecretKey.generate().public_key):
            stranger.sendto(initiation, ("127.0.0.1", us.port))
        until(lambda: us.count("bad_mac1") == 32, "each is counted")
    assert us.ping(them.addresses[0]) < 10
