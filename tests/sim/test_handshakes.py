"""Handshake rules on the core in virtual time."""

import pytest

from tests.sim.conftest import Pair
from wirewright.keys import PresharedKey, PublicKey, SecretKey
from wirewright.sim.node import ipv4

ELSEWHERE = ("203.0.113.9", 4242)


def test_an_initiation_with_an_equal_or_older_timestamp_is_refused(pair: Pair) -> None:
    pair.network.send(pair.alice, pair.bob, b"hello")
    pair.network.run(6)
    (initiation,) = pair.network.sent(pair.alice, 1)
    pair.network.inject(pair.bob, initiation.payload, initiation.source)
    assert pair.count(pair.bob, "timestamp_replay") == 1
    assert len(pair.network.sent(pair.bob, 2)) == 1


def test_a_clock_that_was_set_back_locks_a_peer_out_until_it_catches_up(connected: Pair) -> None:
    connected.network.set_wall_clock(-3600)
    connected.network.run(130)
    connected.network.send(connected.alice, connected.bob, b"rekey, please")
    connected.network.run(1)
    assert connected.count(connected.bob, "timestamp_replay") >= 1


def test_two_initiations_within_twenty_milliseconds_are_a_flood(pair: Pair) -> None:
    network, alice, bob = pair.network, pair.alice, pair.bob
    network.passes = lambda _: False
    network.send(alice, bob, b"hello")
    network.run(11)
    first, second = (datagram.payload for datagram in network.sent(alice, 1)[:2])
    network.inject(bob, first, alice.outer)
    network.run(0.015)
    network.inject(bob, second, alice.outer)
    assert pair.count(bob, "initiation_flood") == 1
    network.run(0.006)
    network.inject(bob, second, alice.outer)
    assert len(network.sent(bob, 2)) == 2


def test_no_initiation_within_five_seconds_of_the_last(pair: Pair) -> None:
    pair.network.passes = lambda _: False
    pair.network.send(pair.alice, pair.bob, b"hello")
    pair.network.run(3)
    pair.network.send(pair.alice, pair.bob, b"are you there?")
    pair.network.run(1.9)
    assert len(pair.network.sent(pair.alice, 1)) == 1
    pair.network.run(0.5)
    assert len(pair.network.sent(pair.alice, 1)) == 2


def test_no_initiation_within_five_seconds_of_a_response(connected: Pair) -> None:
    # Bob answered a moment ago, so that he does not begin a handshake himself even without a session.
    bob = connected.bob
    bob.device.set_peer(*connected.network.clocks, connected.alice.public_key, preshared_key=None)
    connected.network.run(1)
    connected.network.send(bob, connected.alice, b"under the session")
    connected.network.run(1)
    assert connected.network.sent(bob, 1) == []


def test_the_responder_does_not_send_data_before_the_session_is_confirmed(pair: Pair) -> None:
    network = pair.network
    network.passes = lambda datagram: not (datagram.source == pair.alice.outer and datagram.kind == 4)
    network.send(pair.alice, pair.bob, b"lost confirmation")
    network.run(1)
    network.send(pair.bob, pair.alice, b"must wait")
    network.run(1)
    assert network.sent(pair.bob, 4) == []
    network.passes = lambda _: True
    network.send(pair.alice, pair.bob, b"confirmation")
    network.run(1)
    assert pair.alice.payloads == [b"must wait"]


def test_the_initiator_confirms_with_an_empty_packet_if_nothing_waits(pair: Pair) -> None:
    pair.network.introduce(pair.alice, pair.bob, persistent_keepalive=60)
    pair.network.run(1)
    first = pair.network.sent(pair.alice, 4)[0]
    assert len(first.payload) == 32
    assert ("handshake", pair.alice.public_key) in pair.bob.notices


def test_a_replayed_response_changes_nothing(pair: Pair) -> None:
    pair.network.send(pair.alice, pair.bob, b"hello")
    pair.network.run(1)
    (response,) = pair.network.sent(pair.bob, 2)
    pair.network.inject(pair.alice, response.payload, response.source)
    assert pair.count(pair.alice, "response_unexpected") == 1
    pair.network.send(pair.alice, pair.bob, b"still here")
    pair.network.run(1)
    assert pair.bob.payloads == [b"hello", b"still here"]


def test_when_both_begin_at_the_same_time_both_are_heard(pair: Pair) -> None:
    network, alice, bob = pair.network, pair.alice, pair.bob
    network.introduce(bob, alice)
    network.send(alice, bob, b"from alice")
    network.send(bob, alice, b"from bob")
    network.run(12)
    assert (alice.payloads, bob.payloads) == ([b"from bob"], [b"from alice"])


def test_a_responders_new_session_evicts_the_previous_one(connected: Pair) -> None:
    network, alice, bob = connected.network, connected.alice, connected.bob
    network.send(alice, bob, b"under the first session")
    first = network.sent(alice, 4)[-1].payload
    network.run(121)
    network.send(alice, bob, b"time for a second one")
    network.run(121)
    second = network.sent(alice, 4)[-1].payload
    network.passes = lambda datagram: datagram.kind != 4
    network.send(alice, bob, b"time for a third one, which is not confirmed")
    network.run(1)
    assert len(network.sent(bob, 2)) == 2
    network.inject(bob, first, alice.outer)
    assert (connected.count(bob, "no_session"), connected.count(bob, "session_expired")) == (1, 0)
    network.inject(bob, second, alice.outer)
    assert connected.count(bob, "replay_duplicate") == 1


def test_another_private_key_ends_all_sessions(connected: Pair) -> None:
    network, alice, bob = connected.network, connected.alice, connected.bob
    bob.device.set_private_key(*network.clocks, SecretKey.generate())
    assert (connected.peer(bob)["has_session"], bob.device.indices_in_use) == (False, 0)
    network.send(alice, bob, b"too late")
    network.run(1)
    assert (bob.payloads, connected.count(bob, "no_session")) == ([], 1)


def test_no_handshake_with_a_key_of_low_order_succeeds(pair: Pair) -> None:
    network, alice = pair.network, pair.alice
    nobody = PublicKey.from_hex("00" * 32)
    alice.device.set_peer(*network.clocks, nobody, endpoint=ELSEWHERE, allowed_ips=["10.9.0.0/16"])
    alice.device.send(*network.clocks, ipv4(alice.inner, "10.9.0.1", b"is anybody there?"))
    network.run(1)
    assert network.sent(alice, 1) == []
    assert pair.count(alice, "handshake_impossible") == 1


@pytest.mark.parametrize("same", [True, False], ids=["the same key", "different keys"])
def test_a_preshared_key_must_be_the_same_on_both_sides(pair: Pair, same: bool) -> None:
    ours = PresharedKey.generate()
    theirs = ours if same else PresharedKey.generate()
    pair.network.introduce(pair.alice, pair.bob, preshared_key=ours)
    pair.network.introduce(pair.bob, pair.alice, endpoint=False, preshared_key=theirs)
    pair.network.send(pair.alice, pair.bob, b"secret")
    pair.network.run(1)
    assert pair.bob.payloads == ([b"secret"] if same else [])
    assert pair.count(pair.alice, "response_invalid") == (0 if same else 1)


def test_a_stranger_gets_no_answer(pair: Pair) -> None:
    mallory = pair.network.add("mallory")
    pair.network.introduce(mallory, pair.bob)
    pair.network.send(mallory, pair.bob, b"let me in")
    pair.network.run(1)
    assert pair.count(pair.bob, "unknown_peer") == 1
    assert [datagram for datagram in pair.network.tap if datagram.source == pair.bob.outer] == []


def test_an_initiation_for_another_key_is_dropped_at_mac1(pair: Pair) -> None:
    pair.network.send(pair.alice, pair.bob, b"hello")
    (initiation,) = pair.network.sent(pair.alice, 1)
    pair.bob.device.set_private_key(*pair.network.clocks, SecretKey.generate())
    pair.network.inject(pair.bob, initiation.payload, initiation.source)
    assert pair.count(pair.bob, "bad_mac1") == 1


def test_a_peer_is_followed_only_after_authentication(connected: Pair) -> None:
    network, alice, bob = connected.network, connected.alice, connected.bob
    network.send(alice, bob, b"genuine")
    genuine = network.sent(alice, 4)[-1].payload
    forged = genuine[:-1] + bytes([genuine[-1] ^ 1])
    network.inject(bob, forged, ELSEWHERE)
    assert connected.peer(bob)["endpoint"] == alice.outer
    network.inject(bob, genuine, ELSEWHERE)
    assert connected.peer(bob)["endpoint"] == ELSEWHERE


def test_under_load_an_initiation_needs_a_cookie_and_gets_one(pair: Pair) -> None:
    network, alice, bob = pair.network, pair.alice, pair.bob
    network.send(alice, bob, b"hello")
    (initiation,) = network.sent(alice, 1)
    # As many copies as the queue takes before it counts as load: they wait, since nobody works on them.
    while pair.count(bob, "missing_mac2") == 0:
        bob.device.receive_batch(*network.clocks, [initiation.payload] * 64, initiation.source)
    network.carry()
    assert pair.count(bob, "cookie_sent") >= 1
    reply = network.sent(bob, 3)[0]
    network.inject(alice, reply.payload, reply.source)
    assert pair.count(alice, "cookie_received") == 1
    network.passes = lambda datagram: datagram.kind != 2
    network.run(6)
    repeated = network.sent(alice, 1)[1]
    assert repeated.payload[-16:] != bytes(16), "the next initiation carries mac2"


def test_a_cookie_reply_that_answers_nothing_is_counted(pair: Pair) -> None:
    pair.network.inject(pair.alice, bytes([3, 0, 0, 0]) + bytes(60), ELSEWHERE)
    assert pair.count(pair.alice, "bad_cookie") == 1
