"""Packets that say nothing but that somebody is there."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

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


@pytest.mark.timeout(90)
def test_who_only_listens_sends_a_keepalive_after_ten_seconds_so_nobody_shakes_hands_again(lab: Lab) -> None:
    relay = lab.relay()
    us, them = lab.pair(relay=relay)
    ours, theirs = us.call("listen_udp", echo=False), them.call("listen_udp", echo=False)
    assert us.ping(them.addresses[0]) < 10

    # First they talk and we listen, for longer than the 15 s of silence that mean a new handshake; then we.
    begun = len(relay.seen)
    sent = them.call("udp_send", host=us.addresses[0], port=ours, duration=17, interval=0.25)
    assert us.call("heard", port=ours) == sent
    listening = [seen for seen in relay.seen[begun:] if seen.by_us]
    assert [len(seen.datagram) for seen in listening] == [EMPTY]
    assert 9.9 < listening[0].at - relay.seen[begun].at < 12

    begun = len(relay.seen)
    sent = us.call("udp_send", host=them.addresses[0], port=theirs, duration=17, interval=0.25)
    until(lambda: them.call("heard", port=theirs) == sent, "all arrive")
    assert [len(seen.datagram) for seen in relay.seen[begun:] if not seen.by_us] == [EMPTY]
    assert len(relay.of(1)) == 1
