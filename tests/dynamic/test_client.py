"""The client in virtual time."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirewright.dynamic.client import LONGEST_BACKOFF, LeaseClient
from wirewright.dynamic.messages import Wish, request

from .peer.server import Server

NOW, WALL = 5000.0, 1_700_000_000


def made(random: float = 0.5, **wishes: object) -> LeaseClient:
    return LeaseClient(NOW, lambda: random, **wishes)  # type: ignore[arg-type]


def lease(
    *addresses: str, start: int = WALL, time: int = 3600, errno: int = 0
) -> tuple[tuple[str, str], ...]:
    lines = [("ip", each) for each in addresses]
    return (*lines, ("leasestart", str(start)), ("leasetime", str(time)), ("errno", str(errno)))


def test_it_asks_at_once() -> None:
    assert made().is_due(NOW)


@pytest.mark.parametrize(("random", "before"), [(0.0, 270), (0.5, 300), (1.0, 330)])
def test_a_lease_is_refreshed_five_minutes_before_its_end_give_or_take_thirty_seconds(
    random: float, before: int
) -> None:
    client = made(random)
    client.answered(lease("10.7.0.9", "fd07::9/128"), NOW, WALL)
    assert client.holding is not None
    assert client.holding.expires == NOW + 3600
    assert client.deadline() == NOW + 3600 - before
    assert not client.is_due(client.deadline() - 1)
    assert client.request() == request(IPv4Address("10.7.0.9"), IPv6Address("fd07::9"))


@given(st.integers(1, 2**32 - 1), st.floats(0, 1))
def test_a_lease_of_any_length_is_refreshed_before_its_end(time: int, random: float) -> None:
    client = made(random)
    client.answered(lease("10.7.0.9", time=time), NOW, WALL)
    assert client.holding is not None
    assert NOW <= client.deadline() < client.holding.expires


@pytest.mark.parametrize(
    ("difference", "left"), [(0, 3600), (-15, 3585), (15, 3600), (-16, 3600), (16, 3600), (-(10**9), 3600)]
)
def test_a_server_s_clock_is_believed_within_fifteen_seconds(difference: int, left: int) -> None:
    client = made()
    client.answered(lease("10.7.0.9", start=WALL + difference), NOW, WALL)
    assert client.holding is not None
    assert client.holding.expires == NOW + left
    assert client.holding.until == WALL + left


def test_without_an_answer_it_keeps_what_it_has_until_its_end_and_asks_less_and_less_often() -> None:
    client = made()
    client.answered(lease("10.7.0.9", time=1000), NOW, WALL)
    now = client.deadline()
    waits = []
    while not client.expire(now):
        if client.is_due(now):
            assert ("ipv4", "10.7.0.9/32") in client.request()
            client.failed("silence", now)
            waits.append(client._next - now)
        now = client.deadline()
    assert now == NOW + 1000
    assert waits[:5] == [0.75, 1.5, 3.0, 6.0, 12.0]
    assert client.request() == request(Wish.ANY, Wish.ANY)
    for _ in range(20):
        client.failed("silence", now)
    assert LONGEST_BACKOFF / 2 <= client._next - now <= LONGEST_BACKOFF
    client.answered(lease("10.7.0.9"), now, WALL)
    client.failed("silence", now)
    assert client._next == now + 0.75


def test_back_off_is_drawn_from_the_upper_half() -> None:
    for random, wait in ((0.0, 0.5), (1.0, 1.0)):
        client = made(random)
        client.failed("silence", NOW)
        assert client.deadline() == NOW + wait


@pytest.mark.parametrize("text", ["10.7.0.9/24", "fd07::9/64", "0.0.0.0/32", "fe80::9/128"])
def test_what_is_not_one_address_for_it_is_refused(text: str) -> None:
    client = made()
    client.answered(lease(text), NOW, WALL)
    assert client.holding is None
    assert client.problem is not None
    assert "refused" in client.problem
    assert client.deadline() > NOW


def test_a_family_that_it_does_not_want_is_refused() -> None:
    client = made(ipv6=Wish.NONE)
    client.answered(lease("10.7.0.9", "fd07::9"), NOW, WALL)
    assert client.holding is None
    with pytest.raises(ValueError, match="one family"):
        made(ipv4=Wish.NONE, ipv6=Wish.NONE)


def test_a_lease_of_no_time_is_none() -> None:
    client = made()
    client.answered(lease("10.7.0.9", time=0), NOW, WALL)
    assert client.holding is None


def test_a_server_that_says_it_gives_nothing_has_taken_what_it_gave() -> None:
    for errno in ("0", "3"):
        client = made()
        client.answered(lease("10.7.0.9"), NOW, WALL)
        client.answered((("errno", errno),), NOW, WALL)
        assert client.holding is None
    client.answered(lease("10.7.0.9"), NOW, WALL)
    client.answered((("errno", "1"), ("errmsg", "no room")), NOW, WALL)
    assert client.holding is not None
    assert client.problem == "no room"


def test_an_address_that_is_not_to_be_had_is_asked_for_once() -> None:
    client = made(ipv4=IPv4Address("10.7.0.5"))
    assert ("ipv4", "10.7.0.5/32") in client.request()
    client.answered(lease("fd07::9", errno=3), NOW, WALL)
    assert client.holding is not None
    assert client.deadline() < NOW + 2
    assert client.request() == request(Wish.ANY, IPv6Address("fd07::9"))


@pytest.mark.parametrize("dialect", ["document", "program"])
def test_it_lives_with_servers_of_both_dialects(dialect: str) -> None:
    server, client, now = Server(dialect, refusals=2), made(), NOW
    addresses = set()
    for _ in range(40):
        now = client.deadline()
        assert not client.expire(now) or not client.holding
        if client.is_due(now):
            client.answered(
                tuple(server.answer("me", list(client.request()))), now, __import__("time").time()
            )
        if client.holding:
            addresses.add(client.holding.addresses)
    assert addresses == {(ip_address("10.99.0.2"), ip_address("fd99::2"))}
    assert not server.answer("me", list(client.release()))[1:-1]
    assert server.leases["me"] == set()


def test_a_stranger_that_gives_the_same_address_to_all_does_not_confuse_it() -> None:
    client = made()
    client.answered((("register_key", "1"), ("errno", "0")), NOW, WALL)
    assert client.holding is None
    assert client.problem is not None
