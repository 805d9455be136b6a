"""The MTU that fits the way to the peers."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from wirewright.host.device import SocketAddress
from wirewright.host.network import Link, Route
from wirewright.tunnel.system.mtu import mtu_of

DEFAULT_ROUTES = (ip_network("0.0.0.0/0"), ip_network("::/0"))


@dataclass
class Host:
    """Links by their MTU: the first has number 1. Peers 192.0.2.N are behind the link N."""

    mtus: tuple[int, ...]
    routes_of_main: tuple[Route, ...] = ()
    of_route: int | None = None

    def links(self) -> list[Link]:
        return [Link(index, f"eth{index}", None, mtu, True) for index, mtu in enumerate(self.mtus, 1)]

    def route_to(self, address: Any) -> Route | None:
        number = int(str(address).rpartition(".")[2])
        if number > len(self.mtus):
            return None
        return Route(ip_network("192.0.2.0/24"), number, mtu=self.of_route)

    def routes(self, version: int, *, table: int) -> list[Route]:
        assert table == 254
        return [route for route in self.routes_of_main if route.network.version == version]


def mtu(host: Any, *peers: int, ipv6: bool = True) -> int:
    endpoints = [SocketAddress(ip_address(f"192.0.2.{number}"), 51820) for number in peers]
    return mtu_of(host, endpoints, ipv6=ipv6)


def test_the_widest_link_to_a_peer_counts_less_what_is_around_a_packet() -> None:
    assert mtu(Host((1500,)), 1) == 1420
    assert mtu(Host((1400, 1492)), 1, 2) == mtu(Host((1400, 1492)), 2, 1) == 1412
    assert mtu(Host((1400, 1492)), 1) == 1320
    # A peer that cannot be reached says nothing.
    assert mtu(Host((1400,)), 1, 9) == 1320


def test_the_mtu_of_a_route_comes_before_its_links() -> None:
    assert mtu(Host((1500,), of_route=1400), 1) == 1320


def test_without_a_way_to_a_peer_the_default_routes_count_that_lead_anywhere() -> None:
    ways = (Route(DEFAULT_ROUTES[0], 1), Route(DEFAULT_ROUTES[1], 3, is_way=False))
    host = Host((1400, 9000, 65_536), (*ways, Route(ip_network("10.0.0.0/8"), 2)))
    assert mtu(host) == mtu(host, 9) == 1320
    assert mtu(Host((9000,))) == 1420


def test_ipv6_stays_possible_and_no_datagram_becomes_too_long() -> None:
    assert mtu(Host((1300,)), 1) == 1280
    assert mtu(Host((1300,)), 1, ipv6=False) == 1220
    assert mtu(Host((65_536,)), 1) == 65_455
