"""Handshakes with wireguard-go, begun by either side, and what is on the wire meanwhile."""

from __future__ import annotations

import base64

import pytest

from tests.interop.lab import Lab, peer_section
from tests.interop.relay import until
from tests.interop.remote import RemoteError
from wirewright.keys import PresharedKey, SecretKey
from wirewright.spec import handshake
from wirewright.spec.messages import Data, Initiation, Response

OUTER = pytest.mark.parametrize("outer", ["127.0.0.1", "::1"])
SHARDS = pytest.mark.parametrize("shards", [1, 4])


def secret(key: SecretKey) -> bytes:
    return base64.b64decode(key.expose())


@OUTER
@SHARDS
def test_a_handshake_begun_by_us_is_on_the_wire_as_the_paper_says(lab: Lab, outer: str, shards: int) -> None:
    relay = lab.relay(outer)
    us, them = lab.pair(relay=relay, outer=outer, shards=shards)
    us.call("handshake")

    # Whatever goes first after the response confirms the session: here it is an empty packet.
    until(lambda: len(relay.seen) >= 3, "a keepalive confirms the session")
    assert relay.types() == [("us", 1), ("them", 2), ("us", 4)]
    initiation, response, confirmation = (seen.message for seen in relay.seen)
    assert isinstance(initiation, Initiation)
    assert isinstance(response, Response)
    assert isinstance(confirmation, Data)
    assert handshake.open_initiation(initiation, static_private=secret(them.key)).initiator_public == bytes(
        us.public_key
    )
    assert (response.receiver, confirmation.receiver) == (initiation.sender, response.sender)
    assert (confirmation.counter, len(relay.seen[2].datagram)) == (0, 32)

    until(lambda: them.peer(us.public_key)["last_handshake_time_sec"] != "0", "they have a session too")
    assert us.peer(them.public_key)["last_handshake"] > 0
    assert us.ping(them.addresses[0]) < 10


@OUTER
@SHARDS
def test_a_handshake_begun_by_wireguard_go_is_answered(lab: Lab, outer: str, shards: int) -> None:
    relay = lab.relay(outer)
    us, them = lab.pair(relay=relay, outer=outer, shards=shards, we_know_where=False, they_know_where=True)
    assert them.ping(us.addresses[0]) < 10
    assert relay.types()[:3] == [("them", 1), ("us", 2), ("them", 4)]
    initiation, response = (seen.message for seen in relay.seen[:2])
    assert isinstance(initiation, Initiation)
    assert isinstance(response, Response)
    assert response.receiver == initiation.sender
    # We learnt from the handshake where they are.
    assert us.peer(them.public_key)["endpoint"] == list(relay.left)
    assert us.ping(them.addresses[1]) < 10
    assert not relay.of(1, by_us=True)


def test_who_waits_for_a_peer_without_endpoint_is_told_when_it_comes(lab: Lab) -> None:
    us, them = lab.pair(we_know_where=False, they_know_where=True)
    waiting = us.start("handshake", seconds=20)
    them.ping(us.addresses[0])
    waiting.result(20)


def test_when_both_begin_at_the_same_time_both_get_through(lab: Lab) -> None:
    relay = lab.relay()
    us, them = lab.pair(relay=relay, they_know_where=True)
    pings = [
        us.start("ping", host=them.addresses[0], seconds=20),
        them.inside.start("ping", host=us.addresses[0], seconds=20),
    ]
    assert max(ping.result(20) for ping in pings) < 20
    # However the two handshakes crossed, sending a response holds back an initiation, so it settles at once.
    assert len(relay.of(1, by_us=True)) <= 2
    assert len(relay.of(1, by_us=False)) <= 2
    handshakes = len(relay.of(1))
    assert us.ping(them.addresses[1]) < 10
    assert them.ping(us.addresses[1]) < 10
    assert len(relay.of(1)) == handshakes


@pytest.mark.parametrize("we_begin", [True, False], ids=["begun by us", "begun by them"])
def test_the_same_preshared_key_on_both_sides_works(lab: Lab, *, we_begin: bool) -> None:
    us, them = lab.pair(
        preshared_key=PresharedKey.generate(), we_know_where=we_begin, they_know_where=not we_begin
    )
    if we_begin:
        assert us.ping(them.addresses[0]) < 10
    assert them.ping(us.addresses[0]) < 10


def test_another_preshared_key_fails_with_a_sentence_and_a_counter(lab: Lab) -> None:
    us, them = lab.pair(preshared_key=PresharedKey.generate(), their_preshared_key=PresharedKey.generate())
    with pytest.raises(RemoteError) as caught:
        us.call("handshake", seconds=1.5)
    assert {"HandshakeTimeoutError", "TimeoutError"} <= set(caught.value.kinds)
    assert str(them.public_key) in caught.value.message
    assert f"127.0.0.1:{them.port}" in caught.value.message
    assert "preshared key" in caught.value.message
    # They answered (the key enters only with the response), and we could not read it.
    assert us.count("response_invalid") == 1
    assert us.peer(them.public_key)["counters"]["response_invalid"] == 1
    assert us.peer(them.public_key)["last_handshake"] is None


def test_a_wrong_public_key_fails_with_a_sentence_that_names_the_endpoint(lab: Lab) -> None:
    us, them = lab.rootless(), lab.wireguard_go()
    other = SecretKey.generate().public_key
    us.open(peer_section(other, them.addresses, endpoint=("127.0.0.1", them.port)))
    them.add_peer(us.public_key, *us.addresses)
    with pytest.raises(RemoteError) as caught:
        us.call("handshake", seconds=1.5)
    assert "HandshakeTimeoutError" in caught.value.kinds
    assert caught.value.message.startswith(
        f"No handshake answer from peer {other} at 127.0.0.1:{them.port} within 1.5 s."
    )
    assert "is this its public key" in caught.value.message
    assert "does it have ours" in caught.value.message
    until(lambda: "Received packet with invalid mac1" in them.log(), "they refuse mac1")


def test_a_peer_that_does_not_know_us_answers_nothing(lab: Lab) -> None:
    us, them = lab.rootless(), lab.wireguard_go()
    us.open(peer_section(them.public_key, them.addresses, endpoint=("127.0.0.1", them.port)))
    with pytest.raises(RemoteError, match="does it have ours"):
        us.call("handshake", seconds=1.5)
    assert "Received invalid initiation message" in them.log()
    assert us.peer(them.public_key)["rx_bytes"] == 0


def test_an_initiation_of_a_stranger_is_counted_and_not_answered(lab: Lab) -> None:
    relay = lab.relay()
    us, them = lab.rootless(), lab.wireguard_go()
    us.open()
    relay.us = ("127.0.0.1", us.port)
    them.add_peer(us.public_key, *us.addresses, endpoint=f"127.0.0.1:{relay.right[1]}")
    with pytest.raises(RemoteError):
        them.ping(us.addresses[0], seconds=1)
    until(lambda: us.count("unknown_peer") == 1, "the initiation is counted")
    assert relay.types() == [("them", 1)]
