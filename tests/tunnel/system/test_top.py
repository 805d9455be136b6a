"""What `ww top` knows, and what it draws of that."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from wirewright.host.device import DeviceState, PeerState, SocketAddress
from wirewright.keys import SecretKey
from wirewright.tunnel.system.picture import ALL, LESS, MORE, SORTS, Frame, age, picture, size, spark
from wirewright.tunnel.system.rates import REMEMBERED, Rate, Told, View, advanced
from wirewright.tunnel.system.watching import view_as_data, views

KEYS = sorted(SecretKey.generate().public_key for _ in range(3))
NOW = 1_800_000_000.0


def peer(number: int, received: int = 0, sent: int = 0, **more: object) -> PeerState:
    return PeerState(KEYS[number], received=received, sent=sent, **more)  # type: ignore[arg-type]


def told(*peers: PeerState, name: str = "wg0", counters: Mapping[str, int] | None = None) -> Told:
    return Told(DeviceState(name, listen_port=51820, peers=peers), "wirewright", counters)


def drawn(view: View, width: int = 120, **frame: object) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, highlight=False)
    console.print(picture(view, NOW, Frame(width, **frame)))  # type: ignore[arg-type]
    return file.getvalue()


def after(*looks: Told, seconds: float = 2.0) -> View:
    view = View()
    for look in looks:
        view = advanced(view, [look], seconds)
    return view


def test_a_rate_is_what_came_since_the_last_look() -> None:
    view = after(told(peer(0, 1000, 50)), told(peer(0, 3000, 60)))
    assert view.interfaces[0].peers[0].rate == Rate(1000.0, 5.0)
    assert view.interfaces[0].rate == Rate(1000.0, 5.0)


def test_the_first_look_knows_no_rates() -> None:
    assert after(told(peer(0, 1000))).interfaces[0].peers[0].rates == ()


def test_a_peer_that_begins_anew_has_no_rate_below_zero() -> None:
    view = after(told(peer(0, 1000, 1000)), told(peer(0, 10, 1010)))
    assert view.interfaces[0].peers[0].rate == Rate(0.0, 5.0)


def test_peers_and_interfaces_come_and_go() -> None:
    view = after(told(peer(0), peer(1)), told(peer(1), peer(2)))
    assert [len(each.rates) for each in view.interfaces[0].peers] == [1, 0]
    view = advanced(view, [told(name="wg1"), told(peer(1), name="a")], 1.0)
    assert [each.told.state.name for each in view.interfaces] == ["a", "wg1"]


def test_no_more_rates_are_kept_than_are_wanted() -> None:
    view = after(*(told(peer(0, number)) for number in range(REMEMBERED + 9)))
    assert len(view.interfaces[0].peers[0].rates) == REMEMBERED


def test_what_is_dropped_now_is_told_from_what_was() -> None:
    view = after(told(counters={"no_peer": 5, "bad_type": 1}), told(counters={"no_peer": 7, "bad_type": 1}))
    assert view.interfaces[0].dropped == {"no_peer": 2}
    text = drawn(view)
    assert "7    +2  packets of this machine are for an address" in text
    assert text.index("7    +2") < text.index("datagrams came that are no messages")


def full(number: int = 0) -> PeerState:
    return peer(
        number,
        2**50,
        2**50,
        endpoint=SocketAddress(ip_address("255.255.255.255"), 65535),
        latest_handshake=int((NOW - 171) * 1e9),
        allowed_ips=(ip_network("255.255.255.0/24"), ip_network("::/0")),
    )


@pytest.mark.parametrize("width", [LESS, MORE, ALL, 160, 250])
def test_numbers_are_whole_at_any_width(width: int) -> None:
    fast = replace(full(), received=2**50 + 2 * 1023 * 1024**2, sent=2**50 + 2 * 999)
    text = drawn(after(told(full()), told(fast)), width)
    assert all(len(line) <= width for line in text.splitlines())
    for number in ("1023 MiB/s", "999 B/s", "1024 TiB", "255.255.255.255:65535", "2m 51s"):
        assert number in text
    assert ("allowed ips" in text) == ("255.255.255.0/2" in text) == (width >= MORE)
    assert ("course" in text) == (width >= ALL)


@given(st.integers(20, 300))
def test_no_line_is_too_long(width: int) -> None:
    view = after(
        told(full(), peer(1), counters={"no_peer": 10**12}), told(full(), counters={"no_peer": 10**13})
    )
    assert all(len(line) <= width for line in drawn(view, width).splitlines())


def test_tables_of_two_interfaces_have_the_same_columns() -> None:
    view = advanced(View(), [told(full()), told(peer(1), name="wg1")], 0)
    heads = [line for line in drawn(view, 140).splitlines() if "endpoint" in line]
    assert len(heads) == 2
    assert heads[0] == heads[1]


def test_peers_are_sorted_by_what_is_wanted() -> None:
    early, late = int((NOW - 99) * 1e9), int((NOW - 9) * 1e9)
    looks = (
        told(peer(0, 900, 0, latest_handshake=early), peer(1, 0, 900), peer(2, 0, 0, latest_handshake=late)),
        told(peer(0, 900, 0, latest_handshake=early), peer(1, 1, 900), peer(2, 0, 99, latest_handshake=late)),
    )
    view = after(*looks)

    def order(sort: str) -> list[int]:
        text = drawn(view, sort=sort)
        return sorted(range(3), key=lambda number: text.index(str(KEYS[number])[:7]))

    orders = {sort: order(sort)[0] for sort in SORTS}
    assert orders == {"rate": 2, "session": 2, "received": 0, "sent": 1, "none": 0}


def test_what_there_is_no_room_for_is_counted() -> None:
    text = drawn(after(told(peer(0), peer(1), peer(2))), rows=1)
    assert str(KEYS[0])[:7] in text
    assert str(KEYS[1])[:7] not in text
    assert "and 2 more" in text


def test_nothing_is_something_too() -> None:
    assert drawn(View()) == "no WireGuard interface is up\n"
    text = drawn(after(told(peer(0))))
    for word in ("not known", "none", "never", "1 peer, 0 in touch"):
        assert word in text
    assert "dropped" not in text


@pytest.mark.parametrize(
    ("values", "bars"), [([], "    "), ([0, 0], "    "), ([0, 1, 8], "  ▁█"), ([9, 1, 2, 4, 8], "▁▂▄█")]
)
def test_a_course_is_drawn_up_to_its_highest(values: list[float], bars: str) -> None:
    assert spark(values, 4) == bars


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (10_300, "10.1 KiB"),
        (2**20 - 1, "1024 KiB"),
        (2**60, "1048576 TiB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "now"), (0.5, "now"), (59, "59s"), (7322, "2h 2m"), (90_000, "1d 1h"), (31_535_999, "364d")],
)
def test_ages(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_looks_follow_each_other_and_seconds_are_those_that_passed() -> None:
    times = iter([10.0, 13.0, 14.0])
    looks = iter([[told(peer(0, 0))], [told(peer(0, 30))], [told(peer(0, 40))]])
    slept: list[float] = []
    found = views(lambda: next(looks), 1.0, clock=lambda: next(times), sleep=slept.append)
    seen = [
        (view.interfaces[0].peers[0].rate.received, passed) for view, passed in itertools.islice(found, 3)
    ]
    assert seen == [(0.0, 0.0), (10.0, 3.0), (10.0, 1.0)]
    assert slept == [1.0, 1.0]


def test_data_tell_rates_and_no_secrets() -> None:
    key = SecretKey.generate()
    state = DeviceState("wg0", key, peers=(peer(0, 7),))
    view = after(told(peer(0, 0)), Told(state, "kernel"))
    data = view_as_data(view, NOW, 2.0)
    interfaces: Any = data["interfaces"]
    (interface,) = interfaces
    assert interface["peers"][0]["received_per_second"] == 3.5
    assert interface["public_key"] == str(key.public_key)
    assert key.expose() not in str(data)
