"""Either end moves to another address; the other follows, but only what is authentic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.interop.relay import bound, readable, until
from tests.interop.services import digest, payload

if TYPE_CHECKING:
    from tests.interop.lab import Lab


def test_wireguard_go_follows_us_to_another_port(lab: Lab) -> None:
    relay = lab.relay()
    us, them = lab.pair(relay=relay)
    assert us.ping(them.addresses[0]) < 10
    assert them.peer(us.public_key)["endpoint"] == f"127.0.0.1:{relay.right[1]}"
    relay.hop()
    assert us.ping(them.addresses[0]) < 10
    assert them.peer(us.public_key)["endpoint"] == f"127.0.0.1:{relay.right[1]}"
    assert them.ping(us.addresses[1]) < 10
    # Nobody needed another handshake for that.
    assert len(relay.of(1)) == 1


def test_wireguard_go_follows_us_from_ipv4_to_ipv6(lab: Lab) -> None:
    relay = lab.relay()
    us, them = lab.pair(relay=relay)
    assert us.ping(them.addresses[0]) < 10
    relay.hop(("::1", them.port))
    assert us.ping(them.addresses[0]) < 10
    assert them.peer(us.public_key)["endpoint"] == f"[::1]:{relay.right[1]}"
    assert len(relay.of(1)) == 1


def test_a_transfer_goes_on_while_we_move(lab: Lab) -> None:
    relay = lab.relay()
    us, them = lab.pair(relay=relay)
    size = 20_000_000
    transfer = us.start("upload", host=them.addresses[0], port=them.call("serve"), size=size)
    for _ in range(3):
        seen = len(relay.seen)
        until(lambda: len(relay.seen) > seen + 200, "the transfer runs")  # noqa: B023
        relay.hop()
    assert not transfer.done()
    assert transfer.result(40) == digest(payload(size))
    assert len(relay.of(1)) == 1


def test_we_follow_wireguard_go_to_another_port(lab: Lab) -> None:
    us, them = lab.pair()
    assert us.ping(them.addresses[0]) < 10
    old = them.port
    them.move_to(0)
    assert them.port != old
    assert them.ping(us.addresses[0]) < 10
    assert us.peer(them.public_key)["endpoint"] == ["127.0.0.1", them.port]
    assert us.ping(them.addresses[0]) < 10
    counters = us.peer(them.public_key)["counters"]
    assert {name for name, count in counters.items() if name.startswith("send_") and count} == set()


def test_we_follow_wireguard_go_from_ipv4_to_ipv6(lab: Lab) -> None:
    us, them = lab.pair()
    assert us.ping(them.addresses[0]) < 10
    them.add_peer(us.public_key, *us.addresses, endpoint=f"[::1]:{us.port}")
    assert them.ping(us.addresses[0]) < 10
    assert us.peer(them.public_key)["endpoint"] == ["::1", them.port]
    assert us.ping(them.addresses[1]) < 10


def test_a_replayed_datagram_from_elsewhere_moves_nothing(lab: Lab) -> None:
    relay = lab.relay()
    us, them = lab.pair(relay=relay)
    assert us.ping(them.addresses[0]) < 10
    replies = relay.of(4, by_us=False)
    with bound("127.0.0.1") as thief:
        for seen in replies:
            thief.sendto(seen.datagram, ("127.0.0.1", us.port))
        until(lambda: us.count("replay_duplicate") == len(replies), "each replay is counted")
        assert us.peer(them.public_key)["endpoint"] == list(relay.left)
        assert us.ping(them.addresses[0]) < 10
        # Handshake messages that were taken once are refused as well.
        thief.sendto(relay.of(2)[0].datagram, ("127.0.0.1", us.port))
        until(lambda: us.count("response_unexpected") == 1, "the response is counted")
        assert us.peer(them.public_key)["endpoint"] == list(relay.left)
        assert not readable(thief), "a thief was answered"


def test_a_replayed_initiation_is_refused(lab: Lab) -> None:
    relay = lab.relay()
    us, them = lab.pair(relay=relay, we_know_where=False, they_know_where=True)
    assert them.ping(us.addresses[0]) < 10
    with bound("127.0.0.1") as thief:
        thief.sendto(relay.of(1)[0].datagram, ("127.0.0.1", us.port))
        until(lambda: us.count("timestamp_replay") == 1, "the initiation is counted")
    assert us.peer(them.public_key)["endpoint"] == list(relay.left)
    assert them.ping(us.addresses[0]) < 10
