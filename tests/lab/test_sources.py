"""The address that datagrams leave from, where a host has several, and where it goes away."""

from __future__ import annotations

import pytest

from tests.lab.nodes import INNER, Node, pair, peer_section
from wirewright.lab import Lab, Link, Topology, at

# By family: a's and b's addresses on the first link and on the second, and one of b's that no link has.
WAYS = {
    4: (("192.0.2.1", "192.0.2.2"), ("198.51.100.1", "198.51.100.2"), "203.0.113.5"),
    6: (("fd00::1", "fd00::2"), ("fd01::1", "fd01::2"), "fd02::5"),
}
TWO_WAYS = Topology(
    (
        Link(at("a", "192.0.2.1/24", "fd00::1/64"), at("b", "192.0.2.2/24", "fd00::2/64")),
        Link(at("a", "198.51.100.1/24", "fd01::1/64"), at("b", "198.51.100.2/24", "fd01::2/64")),
    ),
)
NOT_BY_ETH0 = """
add table inet filter
add chain inet filter input { type filter hook input priority 0; }
add rule inet filter input iifname eth0 udp dport 51820 drop
"""
FAMILIES = pytest.mark.parametrize("family", [4, 6])


def ask_at_the_other_address(lab: Lab, family: int) -> tuple[Node, Node]:
    """a speaks to b at an address that b's way back would not choose."""
    (_, first), _, other = WAYS[family]
    length = 32 if family == 4 else 128
    lab["b"].run("ip", "address", "add", f"{other}/{length}", "dev", "lo")
    lab["a"].run("ip", "route", "add", other, "via", first)
    a, b = (Node(lab[host], inner).start() for host, inner in zip("ab", INNER, strict=True))
    b.setconf(peer_section(a))
    a.setconf(peer_section(b, endpoint=other))
    a.ping("10.7.0.2")
    return a, b


def endpoint(host: str) -> str:
    return f"[{host}]:51820" if ":" in host else f"{host}:51820"


@FAMILIES
def test_answers_leave_from_the_address_that_was_asked(family: int) -> None:
    with Lab(TWO_WAYS) as lab:
        a, b = ask_at_the_other_address(lab, family)
        b.ping("10.7.0.1")
        # Had it answered from elsewhere, a would have roamed there.
        assert a.endpoint_of(b) == endpoint(WAYS[family][2])


@FAMILIES
def test_a_source_address_that_is_taken_away_does_not_silence_the_peer(family: int) -> None:
    with Lab(TWO_WAYS) as lab:
        a, b = ask_at_the_other_address(lab, family)
        (_, first), _, other = WAYS[family]
        lab["b"].run("ip", "address", "del", f"{other}/{32 if family == 4 else 128}", "dev", "lo")
        b.ping("10.7.0.1")
        # From one that is left; a follows.
        assert a.endpoint_of(b) == endpoint(first)
        a.ping("10.7.0.2")


@FAMILIES
def test_when_the_way_moves_to_another_interface_the_source_follows(family: int) -> None:
    with Lab(TWO_WAYS) as lab:
        a, b = pair(lab, outer=family)
        a.ping("10.7.0.2")
        for host in "ab":
            lab[host].run("ip", "link", "set", "eth0", "down")
        here, there = WAYS[family][1]
        a.wg("set", "peer", str(b.public_key), "endpoint", endpoint(there))
        a.ping("10.7.0.2")
        assert b.endpoint_of(a) == endpoint(here)
        b.ping("10.7.0.1")


@FAMILIES
def test_packets_take_a_new_route_at_once_and_a_source_that_no_answer_finds_is_given_up(family: int) -> None:
    with Lab(TWO_WAYS) as lab:
        a, b = ask_at_the_other_address(lab, family)
        (here, _), (new_here, new_there), other = WAYS[family]
        lab["a"].run("ip", "route", "replace", other, "via", new_there)
        lab["b"].run("nft", "-f", "-", input=NOT_BY_ETH0)
        a.ping("10.7.0.2")
        assert b.endpoint_of(a) == endpoint(here)
        # Now there is no way back to the address that a goes on to write from, for 15 silent seconds.
        lab["b"].run("ip", "link", "set", "eth0", "down")
        a.ping("10.7.0.2", seconds=40)
        assert b.endpoint_of(a) == endpoint(new_here)
