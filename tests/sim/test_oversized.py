"""Datagrams that are longer than any UDP datagram: a shell with other transports could hand them in."""

import pytest

from tests.sim.conftest import Pair

ELSEWHERE = ("203.0.113.9", 4242)
LENGTHS = [65_507, 65_535, 65_536, 65_537, 65_536 + 148, 1 << 20]


def dropped(pair: Pair) -> dict[str, int]:
    return {event: count for event, count in pair.bob.device.counters.items() if count}


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("kind", "event"), [(0, "bad_type"), (1, "bad_length"), (2, "bad_length")])
def test_a_handshake_message_of_more_than_64_kib_is_counted(
    connected: Pair, length: int, kind: int, event: str
) -> None:
    connected.network.inject(connected.bob, bytes([kind]) + bytes(length - 1), ELSEWHERE)
    assert dropped(connected) == {event: 1}


@pytest.mark.parametrize("length", LENGTHS)
def test_data_of_more_than_64_kib_is_counted(connected: Pair, length: int) -> None:
    connected.network.send(connected.alice, connected.bob, b"real")
    (real,) = connected.network.sent(connected.alice, 4)
    connected.network.run(1)
    # A session that is there, a counter not seen yet, and far too much behind it.
    header = real.payload[:8] + (1000).to_bytes(8, "little")
    connected.network.inject(connected.bob, header + bytes(length - len(header)), ELSEWHERE)
    assert dropped(connected) == {"authentication_failed": 1}
    connected.network.inject(connected.bob, bytes([4]) + bytes(length - 1), ELSEWHERE)
    assert dropped(connected) == {"authentication_failed": 1, "no_session": 1}
    connected.network.send(connected.alice, connected.bob, b"still here")
    connected.network.run(1)
    assert connected.bob.payloads == [b"real", b"still here"]


def test_a_train_of_messages_of_more_than_64_kib_is_counted_one_by_one(connected: Pair) -> None:
    bob = connected.bob.device
    bob.receive_batch(*connected.network.clocks, [bytes([1]) + bytes(70_000)] * 8, ELSEWHERE)
    assert dropped(connected) == {"bad_length": 8}
