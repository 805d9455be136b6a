"""What anybody can send to the UDP port of a tunnel: through real sockets, and without root."""

import random
import socket
import time
from pathlib import Path

import pytest

from tests.core.test_fork import pair, wait_for_pong
from wirewright._core import RootlessTunnel

SEED = 17
# So many fit a socket's buffer while the tunnel's thread does not run.
AT_ONCE = 32


def crafted(root: Path) -> list[bytes]:
    """What the fuzzer found worth keeping, and each of it cut, lengthened and with a bit changed."""
    found = [path.read_bytes() for path in sorted((root / "fuzz" / "corpus" / "message").iterdir())]
    source = random.Random(SEED)
    made = list(found)
    for message in found:
        made += [message[: source.randrange(1, len(message) + 1)] for _ in range(4)] if message else []
        made.append(message + bytes(source.randrange(1, 2000)))
    for kind, length in [(1, 148), (2, 92), (3, 64), (4, 32), (4, 1452)]:
        made += [bytes([kind, 0, 0, 0]) + source.randbytes(length - 4) for _ in range(50)]
    for kind in range(6):
        made += [(bytes([kind]) + bytes(length))[:65507] for length in (0, 147, 148, 65_506)]
    # An empty datagram is no message at all.
    return [message for message in made if message]


def counted(tunnel: RootlessTunnel) -> int:
    return sum(tunnel.stats()["counters"].values())


@pytest.mark.parametrize("family", ["127.0.0.1", "::1"])
def test_crafted_datagrams_are_counted_one_by_one_and_nothing_is_answered(root: Path, family: str) -> None:
    left, right = pair(family)
    left.ping("10.0.0.2")
    wait_for_pong(left)
    assert counted(right) == 0
    messages = crafted(root)
    kind = socket.AF_INET6 if ":" in family else socket.AF_INET
    with socket.socket(kind, socket.SOCK_DGRAM) as stranger:
        stranger.bind((family, 0))
        for number, message in enumerate(messages, 1):
            stranger.sendto(message, (family, right.listen_port))
            end = time.monotonic() + 20
            while number % AT_ONCE == 0 and counted(right) < number and time.monotonic() < end:
                pass
        end = time.monotonic() + 20
        while counted(right) < len(messages) and time.monotonic() < end:
            pass
        assert counted(right) == len(messages)
        stranger.setblocking(False)
        with pytest.raises(BlockingIOError):
            stranger.recv(1)
    # The peer did not move, and the tunnel works.
    left.ping("10.0.0.2")
    wait_for_pong(left)
    assert right.stats()["peers"][0]["endpoint"] == (family, left.listen_port)
    left.close()
    right.close()
