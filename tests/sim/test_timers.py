"""The timer table, row by row, on the core in virtual time.

Each class is a row: retransmission, passive keepalive, new handshake, zero key material, persistent
keepalive, and who rekeys when.
"""

import itertools

import pytest

from tests.sim.conftest import Pair

JITTER = 1 / 3


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]


class TestRetransmission:
    def test_an_unanswered_initiation_is_repeated_after_five_seconds_and_jitter(self, pair: Pair) -> None:
        pair.network.passes = lambda _: False
        pair.network.send(pair.alice, pair.bob, b"hello")
        pair.network.run(60)
        waits = gaps([datagram.sent for datagram in pair.network.sent(pair.alice, 1)])
        assert len(waits) >= 10
        assert all(5 <= wait < 5 + JITTER for wait in waits)
        assert len({round(wait, 6) for wait in waits}) > 5, "jitter differs"

    def test_each_attempt_has_a_fresh_index_and_ephemeral_key(self, pair: Pair) -> None:
        pair.network.passes = lambda _: False
        pair.network.send(pair.alice, pair.bob, b"hello")
        pair.network.run(30)
        attempts = [datagram.payload for datagram in pair.network.sent(pair.alice, 1)]
        assert len({attempt[4:8] for attempt in attempts}) == len(attempts)
        assert len({attempt[8:40] for attempt in attempts}) == len(attempts)
        assert pair.alice.device.indices_in_use == 1

    def test_after_eighteen_expiries_the_handshake_is_given_up(self, pair: Pair) -> None:
        pair.network.passes = lambda _: False
        pair.network.send(pair.alice, pair.bob, b"hello")
        pair.network.run(300)
        initiations = pair.network.sent(pair.alice, 1)
        assert 19 <= len(initiations) <= 20
        assert 90 <= initiations[-1].sent - initiations[0].sent <= 107
        assert ("gave_up", pair.bob.public_key) in pair.alice.notices
        assert pair.count(pair.alice, "staged_dropped") == 1

    def test_a_response_stops_it(self, pair: Pair) -> None:
        pair.network.send(pair.alice, pair.bob, b"hello")
        pair.network.run(9)
        assert len(pair.network.sent(pair.alice, 1)) == 1

    def test_new_data_after_giving_up_begins_again(self, pair: Pair) -> None:
        pair.network.passes = lambda _: False
        pair.network.send(pair.alice, pair.bob, b"hello")
        pair.network.run(300)
        pair.network.passes = lambda _: True
        pair.network.send(pair.alice, pair.bob, b"again")
        pair.network.run(1)
        assert pair.bob.payloads == [b"again"]


class TestPassiveKeepalive:
    def test_data_that_is_not_answered_is_confirmed_after_ten_seconds(self, connected: Pair) -> None:
        connected.network.send(connected.alice, connected.bob, b"ping")
        arrival = connected.network.now + connected.network.latency
        connected.network.run(14)
        keepalives = connected.network.sent(connected.bob, 4)
        assert [len(datagram.payload) for datagram in keepalives] == [32]
        # Bob has owed an answer since the first packet of the fixture, a tenth of a second earlier.
        assert arrival + 9.8 <= keepalives[0].sent <= arrival + 10.001

    def test_an_answer_makes_it_unnecessary(self, connected: Pair) -> None:
        connected.network.send(connected.alice, connected.bob, b"ping")
        connected.network.run(0.1)
        connected.network.send(connected.bob, connected.alice, b"pong")
        connected.network.run(9.5)
        assert len(connected.network.sent(connected.bob, 4)) == 1

    def test_data_while_one_is_pending_asks_for_another(self, connected: Pair) -> None:
        connected.network.send(connected.alice, connected.bob, b"one")
        connected.network.run(5)
        connected.network.send(connected.alice, connected.bob, b"two")
        connected.network.run(30)
        times = [datagram.sent for datagram in connected.network.sent(connected.bob, 4)]
        assert len(times) == 2
        assert times[1] - times[0] == pytest.approx(10, abs=0.01)

    def test_a_keepalive_is_not_answered_with_a_keepalive(self, connected: Pair) -> None:
        connected.network.run(30)
        connected.network.tap.clear()
        connected.network.send(connected.alice, connected.bob, b"ping")
        connected.network.run(60)
        assert len(connected.network.sent(connected.alice, 4)) == 1
        assert len(connected.network.sent(connected.bob, 4)) == 1


class TestNewHandshake:
    def test_silence_after_data_begins_a_handshake_after_fifteen_seconds(self, connected: Pair) -> None:
        connected.network.run(20)
        connected.network.passes = lambda datagram: datagram.source != connected.bob.outer
        connected.network.send(connected.alice, connected.bob, b"anyone?")
        began = connected.network.now
        connected.network.run(17)
        (initiation,) = connected.network.sent(connected.alice, 1)
        assert 15 <= initiation.sent - began < 15 + JITTER + 0.001

    def test_anything_authentic_from_the_peer_stops_it(self, connected: Pair) -> None:
        connected.network.send(connected.alice, connected.bob, b"anyone?")
        connected.network.run(30)
        assert connected.network.sent(connected.alice, 1) == []


class TestZeroKeys:
    def test_keys_are_wiped_540_seconds_after_the_last_session(self, connected: Pair) -> None:
        connected.network.run(539)
        assert connected.alice.device.indices_in_use == 1
        connected.network.run(2)
        assert connected.alice.device.indices_in_use == 0
        assert connected.bob.device.indices_in_use == 0
        assert connected.alice.device.deadline is None

    def test_a_newer_session_puts_it_off(self, connected: Pair) -> None:
        connected.network.run(300)
        connected.network.send(connected.alice, connected.bob, b"again")
        connected.network.run(300)
        assert connected.alice.device.indices_in_use >= 1


class TestPersistentKeepalive:
    def test_it_is_sent_at_the_interval_whatever_happens(self, pair: Pair) -> None:
        pair.network.introduce(pair.alice, pair.bob, persistent_keepalive=25)
        pair.network.run(101)
        times = [datagram.sent for datagram in pair.network.sent(pair.alice, 4)]
        assert len(times) == 5
        assert all(wait == pytest.approx(25, abs=0.05) for wait in gaps(times))

    def test_traffic_in_either_direction_puts_it_off(self, connected: Pair) -> None:
        connected.network.introduce(connected.alice, connected.bob, persistent_keepalive=25)
        connected.network.run(1)
        before = len(connected.network.sent(connected.alice, 4))
        for _ in range(5):
            connected.network.run(9)
            connected.network.send(connected.bob, connected.alice, b"busy")
            connected.network.run(0.1)
            connected.network.send(connected.alice, connected.bob, b"busy too")
        sent = connected.network.sent(connected.alice, 4)[before:]
        assert all(len(datagram.payload) > 32 for datagram in sent)


class TestRekeying:
    def test_the_initiator_renews_after_120_seconds_when_it_sends(self, connected: Pair) -> None:
        connected.network.run(119)
        connected.network.send(connected.alice, connected.bob, b"young enough")
        connected.network.run(0.5)
        assert connected.network.sent(connected.alice, 1) == []
        connected.network.run(1)
        connected.network.send(connected.alice, connected.bob, b"old enough")
        connected.network.run(0.5)
        assert len(connected.network.sent(connected.alice, 1)) == 1

    def test_the_responder_never_renews_by_time(self, connected: Pair) -> None:
        for _ in range(170):
            connected.network.run(1)
            connected.network.send(connected.bob, connected.alice, b"data")
        assert connected.network.sent(connected.bob, 1) == []

    def test_the_initiator_renews_at_165_seconds_when_it_only_receives_and_only_once(
        self, connected: Pair
    ) -> None:
        connected.network.run(164)
        connected.network.send(connected.bob, connected.alice, b"early")
        connected.network.run(0.5)
        assert connected.network.sent(connected.alice, 1) == []
        connected.network.passes = lambda datagram: datagram.kind != 1
        connected.network.run(1)
        for _ in range(4):
            connected.network.send(connected.bob, connected.alice, b"late")
            connected.network.run(0.5)
        assert len(connected.network.sent(connected.alice, 1)) == 1

    def test_a_session_of_180_seconds_neither_sends_nor_receives(self, connected: Pair) -> None:
        connected.network.send(connected.alice, connected.bob, b"kept back")
        held = connected.network.sent(connected.alice, 4)[-1]
        connected.network.passes = lambda datagram: datagram.kind != 1
        connected.network.run(181)
        before = len(connected.network.sent(connected.alice, 4))
        connected.network.send(connected.alice, connected.bob, b"too late")
        assert len(connected.network.sent(connected.alice, 4)) == before
        connected.network.inject(connected.bob, held.payload, held.source)
        assert connected.count(connected.bob, "session_expired") == 1
