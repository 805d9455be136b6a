"""Packets that say nothing but that somebody is there."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.interop.relay import until

if TYPE_CHECKING:
    from tests.interop.lab import Lab

EMPTY = 32


def test_our_persistent_keepalive_opens_and_keeps_the_session_without_traffic(lab: Lab) -> None:
    relay = lab.relay()
    us, them = lab.pair(relay=relay, keepalive=1)
    until(lambda: len(relay.of(4, by_us=True)) >= 4, "four keepalives come")
    assert relay.types()[:3] == [("us", 1), ("them", 2), ("us", 4)]
    keepalives = relay.of(4, by_us=True)
    assert {len(seen.datagram) for seen in keepalives} == {EMPTY}
    gaps = [later.at - earlier.at for earlier, later in pairwise(keepalives)]
    assert min(gaps) > 0.9
    assert int(them.peer(us.public_key)["rx_bytes"]) >= 148 + 4 * EMPTY


def test_wireguard_gos_persistent_keepalive_opens_and_keeps_the_session(lab: Lab) -> None:
    relay = lab.relay()
    us, them = lab.pair(relay=relay, we_know_where=False, they_know_where=True, their_keepalive=1)
    until(lambda: len(relay.of(4, by_us=False)) >= 4, "four keepalives come")
    assert us.peer(them.public_key)["rx_bytes"] >= 148 + 4 * EMPTY
    # An empty packet is not answered, or two sides would never be silent.
    assert not relay.of(4, by_us=True)


def test_who_only_listens_sends_a_keepalive_after_ten_seconds_so_nobody_shakes_hands_again(lab: Lab) -> None:
    # Two tunnels at the same time: in one we listen, in the other they do.
    checks = [listening(lab, we_listen=True), listening(lab, we_listen=False)]
    for check in checks:
        check()


def listening(lab: Lab, *, we_listen: bool) -> Callable[[], None]:
    """Let one side talk for longer than the 15 s of silence that mean a new handshake; returns the check."""
    relay = lab.relay()
    us, them = lab.pair(relay=relay)
    assert us.ping(them.addresses[0]) < 10
    listener, talker = (us, them.inside) if we_listen else (them.inside, us)
    host = (us if we_listen else them).addresses[0]
    port = listener.call("listen_udp", echo=False)
    begun = len(relay.seen)
    talking = talker.start("udp_send", host=host, port=port, duration=17, interval=0.25)

    def check() -> None:
        sent = talking.result(40)
        until(lambda: listener.call("heard", port=port) == sent, "all arrive")
        answers = [seen for seen in relay.seen[begun:] if seen.by_us == we_listen]
        assert [len(seen.datagram) for seen in answers] == [EMPTY]
        assert 9.9 < answers[0].at - relay.seen[begun].at < 12
        assert len(relay.of(1)) == 1

    return check
