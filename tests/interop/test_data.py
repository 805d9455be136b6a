"""What a tunnel is for: TCP, UDP and ICMP of both families, with the kernel's stack behind wireguard-go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.interop.lab import Lab, Rootless, peer_section
from tests.interop.relay import until
from tests.interop.remote import RemoteError
from tests.interop.services import digest, payload

if TYPE_CHECKING:
    from tests.interop.wireguard_go import WireGuardGo

MEGABYTES = 4_000_000
OUTER = pytest.mark.parametrize("outer", ["127.0.0.1", "::1"])
INNER = pytest.mark.parametrize("inner", [0, 1], ids=["IPv4 inside", "IPv6 inside"])
SHARDS = pytest.mark.parametrize("shards", [1, 4])


def carries_everything(us: Rootless, them: WireGuardGo, inner: int) -> None:
    """Every kind of traffic, begun by us."""
    host = them.addresses[inner]
    assert us.ping(host) < 10
    port = them.call("serve")
    expected = digest(payload(MEGABYTES))
    assert us.call("download", host=host, port=port, size=MEGABYTES) == expected
    assert us.call("upload", host=host, port=port, size=MEGABYTES) == expected
    assert us.call("echo", host=host, port=port, size=MEGABYTES) == expected
    sizes = [1, 2, 15, 16, 17, 1000, 1300]
    assert us.call("udp_echo", host=host, port=them.call("listen_udp"), sizes=sizes) == sizes
    assert not {name: count for name, count in us.call("stats")["counters"].items() if count}


@OUTER
@INNER
def test_tcp_udp_and_icmp_pass_unharmed(lab: Lab, outer: str, inner: int) -> None:
    us, them = lab.pair(outer=outer)
    carries_everything(us, them, inner)


def test_four_shards_carry_the_same(lab: Lab) -> None:
    us, them = lab.pair(shards=4)
    carries_everything(us, them, 0)


@INNER
def test_a_web_page_comes_from_a_server_that_is_not_ours(lab: Lab, inner: int) -> None:
    us, them = lab.pair()
    port = them.call("serve_http")
    page = us.call("http_get", host=them.addresses[inner], port=port, path=f"/{MEGABYTES}")
    assert page == {"status": "HTTP/1.0 200 OK", "digest": digest(payload(MEGABYTES))}


@INNER
@SHARDS
def test_our_servers_are_reached_from_behind_wireguard_go(lab: Lab, inner: int, shards: int) -> None:
    us, them = lab.pair(we_know_where=False, they_know_where=True, shards=shards)
    host, port = us.addresses[inner], us.call("serve")
    expected = digest(payload(MEGABYTES))
    assert them.call("download", host=host, port=port, size=MEGABYTES) == expected
    assert them.call("upload", host=host, port=port, size=MEGABYTES) == expected
    assert them.call("echo", host=host, port=port, size=MEGABYTES) == expected
    sizes = [1, 16, 1300]
    assert them.call("udp_echo", host=host, port=us.call("listen_udp"), sizes=sizes) == sizes


def test_fifty_connections_to_our_server_at_the_same_time_are_all_served(lab: Lab) -> None:
    us, them = lab.pair(they_know_where=True)
    port, size = us.call("serve"), 50_000
    calls = [
        them.inside.start("echo", host=us.addresses[number % 2], port=port, size=size) for number in range(50)
    ]
    assert {call.result(40) for call in calls} == {digest(payload(size))}


def test_transfers_in_both_directions_at_once_do_not_disturb_each_other(lab: Lab) -> None:
    us, them = lab.pair(they_know_where=True)
    theirs, ours = them.call("serve"), us.call("serve")
    calls = [
        us.start("download", host=them.addresses[0], port=theirs, size=MEGABYTES),
        us.start("upload", host=them.addresses[1], port=theirs, size=MEGABYTES),
        them.inside.start("download", host=us.addresses[1], port=ours, size=MEGABYTES),
        them.inside.start("upload", host=us.addresses[0], port=ours, size=MEGABYTES),
    ]
    assert {call.result(40) for call in calls} == {digest(payload(MEGABYTES))}


@pytest.mark.parametrize("we_serve", [True, False], ids=["our window", "the kernel's window"])
def test_a_closed_window_in_one_direction_does_not_stop_the_other(lab: Lab, *, we_serve: bool) -> None:
    us, them = lab.pair(they_know_where=True)
    server, client = (us, them.inside) if we_serve else (them.inside, us)
    host = (us if we_serve else them).addresses[0]
    port = server.call("serve")
    # Of sizes that leave odd bytes at the window's end, where its scale rounds (RFC 7323 2.4).
    sizes = [MEGABYTES + extra for extra in range(0, 160, 20)]
    calls = [client.start("stubborn", host=host, port=port, size=size) for size in sizes]
    for call, size in zip(calls, sizes, strict=True):
        assert call.result(40) == [digest(payload(size))] * 2


def test_a_port_where_nothing_listens_refuses(lab: Lab) -> None:
    us, them = lab.pair()
    with pytest.raises(RemoteError) as caught:
        us.call("echo", host=them.addresses[0], port=9, size=1)
    assert "ConnectionRefusedError" in caught.value.kinds
    assert "nothing listens there" in caught.value.message
    with pytest.raises(RemoteError) as caught:
        them.call("echo", host=us.addresses[0], port=9, size=1)
    assert "ConnectionRefusedError" in caught.value.kinds


def test_one_tunnel_joins_two_peers_and_each_gets_its_own(lab: Lab) -> None:
    us, first, second = lab.rootless(), lab.wireguard_go(), lab.wireguard_go()
    us.open(
        *(
            peer_section(them.public_key, them.addresses, endpoint=("127.0.0.1", them.port))
            for them in (first, second)
        )
    )
    for them in (first, second):
        them.add_peer(us.public_key, *us.addresses)
        assert us.ping(them.addresses[0]) < 10
    size = 500_000
    for them in (first, second):
        port = them.call("serve")
        assert us.call("download", host=them.addresses[1], port=port, size=size) == digest(payload(size))
        assert int(them.peer(us.public_key)["tx_bytes"]) > size


def test_both_sides_count_the_same_bytes(lab: Lab) -> None:
    us, them = lab.pair()
    us.call("download", host=them.addresses[0], port=them.call("serve"), size=500_000)

    def agree() -> bool:
        ours, theirs = us.peer(them.public_key), them.peer(us.public_key)
        sent, received = int(theirs["tx_bytes"]), int(theirs["rx_bytes"])
        assert sent > 500_000
        return (ours["rx_bytes"], ours["tx_bytes"]) == (sent, received)

    until(agree, "nothing is on the way any more")


def test_an_inner_source_that_is_not_the_peers_is_refused(lab: Lab) -> None:
    us, them = lab.rootless(), lab.wireguard_go()
    # They may use their IPv6 address only, so what comes from their IPv4 address is not theirs.
    us.open(peer_section(them.public_key, them.addresses[1:], endpoint=("127.0.0.1", them.port)))
    them.add_peer(us.public_key, *us.addresses)
    assert us.ping(them.addresses[1]) < 10
    with pytest.raises(RemoteError):
        them.ping(us.addresses[0], seconds=1)
    assert us.peer(them.public_key)["counters"]["source_not_allowed"] == 1
