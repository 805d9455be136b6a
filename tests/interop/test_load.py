"""Cookies: under a flood of initiations, each side makes the other prove where it is."""

from __future__ import annotations

from tests.interop.flood import Flood
from tests.interop.lab import Lab, peer_section
from tests.interop.services import digest, payload
from wirewright.spec.messages import Initiation, Response

# wireguard-go calls more than 128 waiting messages load (an eighth of its queue), we more than 512.
ENOUGH = 1024


def test_our_handshake_completes_with_mac2_while_wireguard_go_is_under_load(lab: Lab) -> None:
    relay = lab.relay()
    us, them = lab.pair(relay=relay)
    with Flood(them.public_key, ("127.0.0.1", them.port), ENOUGH) as flood:
        flood.wait_for_cookies()
        us.call("handshake", seconds=25)
        assert us.ping(them.addresses[0]) < 10
    assert us.peer(them.public_key)["counters"]["cookie_received"] >= 1
    initiations = [seen.message for seen in relay.of(1, by_us=True)]
    assert all(isinstance(message, Initiation) for message in initiations)
    proofs = [any(message.mac2) for message in initiations if isinstance(message, Initiation)]
    # The first could not have a cookie yet; only what came after the cookie reply was answered.
    assert proofs[0] is False
    assert proofs[-1] is True
    assert len(relay.of(3, by_us=False)) >= 1


def test_our_response_carries_mac2_while_wireguard_go_is_under_load(lab: Lab) -> None:
    relay = lab.relay()
    us, them = lab.pair(relay=relay, we_know_where=False, they_know_where=True)
    with Flood(them.public_key, ("127.0.0.1", them.port), ENOUGH) as flood:
        flood.wait_for_cookies()
        assert them.ping(us.addresses[0], seconds=25) < 25
    assert us.peer(them.public_key)["counters"]["cookie_received"] >= 1
    responses = [seen.message for seen in relay.of(2, by_us=True)]
    proofs = [any(message.mac2) for message in responses if isinstance(message, Response)]
    assert proofs[0] is False
    assert proofs[-1] is True


def test_under_load_we_require_mac2_and_established_data_keeps_flowing(lab: Lab) -> None:
    relay = lab.relay()
    us, friend, newcomer = lab.rootless(), lab.wireguard_go(), lab.wireguard_go()
    us.open(
        peer_section(friend.public_key, friend.addresses, endpoint=("127.0.0.1", friend.port)),
        peer_section(newcomer.public_key, newcomer.addresses),
    )
    relay.us = ("127.0.0.1", us.port)
    friend.add_peer(us.public_key, *us.addresses)
    newcomer.add_peer(us.public_key, *us.addresses, endpoint=f"127.0.0.1:{relay.right[1]}")
    assert us.ping(friend.addresses[0]) < 10
    port = friend.call("serve")

    with Flood(us.public_key, ("127.0.0.1", us.port), ENOUGH) as flood:
        flood.wait_for_cookies()
        pings = us.start("pings", host=friend.addresses[0], duration=5, interval=0.1)
        joining = newcomer.inside.start("ping", host=us.addresses[0], seconds=25)
        size = 4_000_000
        assert us.call("echo", host=friend.addresses[0], port=port, size=size) == digest(payload(size))
        assert joining.result(40) < 25
        # The kernel may drop what does not fit our socket's buffer beside the flood.
        lost = pings.result(40).count(None)
        assert lost <= len(pings.result()) // 10
    assert us.count("cookie_sent") >= 2
    assert us.count("missing_mac2") >= us.count("cookie_sent")
    initiations = [seen.message for seen in relay.of(1, by_us=False)]
    proofs = [any(message.mac2) for message in initiations if isinstance(message, Initiation)]
    assert proofs[0] is False
    assert proofs[-1] is True
    assert len(relay.of(3, by_us=True)) >= 1
