"""Peers whose whereabouts change: roaming, NATs, sources that come and go, networks that move."""

from __future__ import annotations

import base64
from functools import partial
from pathlib import Path

import pytest

from tests.lab.nodes import (
    INNER,
    OURS,
    OUTER,
    Node,
    cable,
    pair,
    pass_time,
    peer_section,
    transfer,
    until,
)
from wirewright.lab import Host, Lab, Link, Nat, Route, Topology, at

BEHIND_NAT = Topology(
    (
        Link(at("a", "10.1.0.2/24"), at("router", "10.1.0.1/24")),
        Link(at("router", "192.0.2.1/24"), at("b", "192.0.2.2/24")),
    ),
    (
        Host("a", routes=(Route("default", "10.1.0.1"),)),
        Host("router", forward=True, nat=Nat("eth1", udp_timeout=2, udp_stream_timeout=2, random_ports=True)),
    ),
)
# Seconds of silence after which the NAT above has forgotten everybody.
FORGOTTEN = 4.0


def behind_nat(lab: Lab, keepalive: int | None) -> tuple[Node, Node]:
    a, b = (Node(lab[host], inner).start() for host, inner in zip("ab", INNER, strict=True))
    b.setconf(peer_section(a))
    a.setconf(peer_section(b, endpoint="192.0.2.2", keepalive=keepalive))
    a.ping("10.7.0.2")
    return a, b


@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("family", [4, 6])
def test_a_peer_that_roams_is_answered_where_it_is(family: int, shards: int) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, outer=family, shards=shards)
        a.ping("10.7.0.2")
        new, length = ("192.0.2.99", 24) if family == 4 else ("fd00::99", 64)
        lab["a"].run("ip", "address", "del", f"{OUTER[family][0]}/{length}", "dev", "eth0")
        lab["a"].run("ip", "address", "add", f"{new}/{length}", "dev", "eth0")
        a.ping("10.7.0.2")
        assert new in b.endpoint_of(a)
        b.ping("10.7.0.1")


def test_a_peer_may_change_family() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        a.wg("set", "peer", str(b.public_key), "endpoint", "[fd00::2]:51820")
        a.ping("10.7.0.2")
        assert b.endpoint_of(a) == "[fd00::1]:51820"
        b.ping("10.7.0.1")


def link_local(node: Node) -> str:
    """Return its host's address on the cable, as `ip` writes it."""
    shown = node.machine.run("ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", "link").stdout
    return shown.split()[3].split("/")[0]


def has_usable_addresses(node: Node) -> bool:
    return not node.machine.run("ip", "-6", "address", "show", "tentative").stdout


@pytest.mark.parametrize("shards", ["1", "4"])
def test_peers_meet_over_link_local_addresses(shards: str) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, environment={"WIREWRIGHT_SHARDS": shards})
        for node in (a, b):
            until(
                partial(has_usable_addresses, node), "the kernel knows that no other host has its addresses"
            )
        scoped = f"[{link_local(b)}%eth0]:51820"
        a.wg("set", "peer", str(b.public_key), "endpoint", scoped)
        assert a.endpoint_of(b) == scoped
        a.ping("10.7.0.2")
        # Both learnt the scope from the datagrams, too, and answer from the address that was written to.
        until(lambda: link_local(a) in b.endpoint_of(a), "b knows where a is")
        b.ping("10.7.0.1")
        transfer(lab["a"], lab["b"], "10.7.0.2", 1_000_000)
        assert a.endpoint_of(b) == scoped
        assert b.endpoint_of(a) == f"[{link_local(a)}%eth0]:51820"


def test_a_scope_may_be_a_number_and_must_be_an_interface(wireguard_go: Path) -> None:
    with Lab(cable()) as lab:
        # wireguard-go shows scopes as well, though it answers nobody at such an address.
        a, b = pair(lab, programs=(OURS, str(wireguard_go)))
        for node, peer in ((a, b), (b, a)):
            index = node.machine.run("cat", "/sys/class/net/eth0/ifindex").stdout.strip()
            for scope in ("eth0", index):
                node.wg("set", "peer", str(peer.public_key), "endpoint", f"[fe80::1%{scope}]:1")
                assert node.endpoint_of(peer) == "[fe80::1%eth0]:1"
        # `wg` finds out by itself; whoever does not is told by a number, ENODEV.
        said = lab["a"].python(
            "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.settimeout(10)\n"
            "s.connect('/var/run/wireguard/wg0.sock')\ns.sendall(sys.argv[1].encode())\nprint(s.recv(100).decode())",
            f"set=1\npublic_key={base64.b64decode(str(b.public_key)).hex()}\nendpoint=[fe80::1%none0]:1\n\n",
        )
        assert "errno=-19" in said.stdout
        assert a.endpoint_of(b) == "[fe80::1%eth0]:1"


def test_a_keepalive_holds_a_nat_open() -> None:
    with Lab(BEHIND_NAT) as lab:
        a, b = behind_nat(lab, keepalive=1)
        endpoint = b.endpoint_of(a)
        pass_time(FORGOTTEN)
        assert b.endpoint_of(a) == endpoint
        b.ping("10.7.0.1")


def test_without_keepalives_a_nat_forgets_and_the_inner_peer_is_found_where_it_next_speaks() -> None:
    with Lab(BEHIND_NAT) as lab:
        a, b = behind_nat(lab, keepalive=None)
        endpoint = b.endpoint_of(a)
        # What a ping leaves behind is a keepalive of its own, ten seconds later.
        pass_time(10 + FORGOTTEN)
        assert not b.reaches("10.7.0.1")
        a.ping("10.7.0.2")
        # Any of 60,000 ports.
        assert b.endpoint_of(a) != endpoint
        b.ping("10.7.0.1")


def test_a_nat_that_loses_its_mind_amid_a_session_is_followed() -> None:
    with Lab(BEHIND_NAT) as lab:
        a, b = behind_nat(lab, keepalive=1)
        endpoint = b.endpoint_of(a)
        # A masquerading rule forgets what it did when the device goes down.
        lab["router"].run("ip", "link", "set", "eth1", "down")
        lab["router"].run("ip", "link", "set", "eth1", "up")
        until(lambda: b.endpoint_of(a) != endpoint, "the next keepalive tells of the new mapping")
        b.ping("10.7.0.1")


def test_an_interface_that_moved_to_another_namespace_leaves_its_socket_behind() -> None:
    topology = Topology((*cable().links, Link(at("a"), at("inner"))))
    with Lab(topology) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        lab.move("wg0", "a", "inner")
        moved = lab["inner"]
        moved.run("ip", "address", "add", "10.7.0.1/24", "dev", "wg0")
        moved.run("ip", "link", "set", "wg0", "up")
        moved.run("ping", "-n", "-c1", "-w10", "10.7.0.2")
        transfer(moved, lab["b"], "10.7.0.2", 3_000_000)
        # The only way out of there is the tunnel; wg still speaks to the process where it began.
        assert b.endpoint_of(a) == "192.0.2.1:51820"
        assert a.latest_handshake(b) > 0


def test_a_tunnel_goes_through_a_tunnel() -> None:
    with Lab(cable()) as lab:
        pair(lab)
        inner = [
            Node(lab["a"], ("10.8.0.1",), "wg1", port=51821, mtu=1340).start(),
            Node(lab["b"], ("10.8.0.2",), "wg1", port=51821, mtu=1340).start(),
        ]
        inner[0].setconf(peer_section(inner[1], endpoint="10.7.0.2"))
        inner[1].setconf(peer_section(inner[0], endpoint="10.7.0.1"))
        inner[0].ping("10.8.0.2")
        inner[0].ping("10.8.0.2", size=1312)
        transfer(lab["a"], lab["b"], "10.8.0.2", 3_000_000)


def test_a_tunnel_whose_endpoint_is_behind_itself_does_not_spin() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        # Its own datagrams to 192.0.2.2 now go into it.
        a.wg("set", "peer", str(b.public_key), "allowed-ips", "10.7.0.2/32,192.0.2.2/32")
        lab["a"].run("ip", "route", "add", "192.0.2.2/32", "dev", "wg0")
        (process,) = lab["a"].processes("wirewright-tun")
        before = a.sent(b)
        lab["a"].run("ping", "-n", "-c3", "-i", "0.2", "-W", "1", "10.7.0.2", check=False)
        # Each ping goes round once.
        assert a.sent(b) - before < 70_000
        assert lab["a"].processes("wirewright-tun") == [process]
        lab["a"].run("ip", "route", "del", "192.0.2.2/32", "dev", "wg0")
        a.ping("10.7.0.2")


def test_a_mark_lets_a_tunnel_s_own_datagrams_pass_it_by() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.wg("set", "fwmark", "51820", "peer", str(b.public_key), "allowed-ips", "0.0.0.0/0")
        lab["a"].run("ip", "route", "add", "default", "dev", "wg0", "table", "51820")
        lab["a"].run("ip", "rule", "add", "not", "fwmark", "51820", "table", "51820")
        lab["b"].run("ip", "address", "add", "198.51.100.77/32", "dev", "lo")
        a.ping("198.51.100.77")
        assert b.endpoint_of(a) == "192.0.2.1:51820"


def test_a_way_that_flaps_is_used_again() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        for _ in range(5):
            lab["b"].run("ip", "link", "set", "eth0", "down")
            assert not a.reaches("10.7.0.2")
            lab["b"].run("ip", "link", "set", "eth0", "up")
            a.ping("10.7.0.2")
        assert a.latest_handshake(b) > 0


def test_a_socket_s_address_goes_away_and_another_comes() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        lab["a"].run("ip", "address", "flush", "dev", "eth0")
        assert not a.reaches("10.7.0.2")
        lab["a"].run("ip", "address", "add", "192.0.2.50/24", "dev", "eth0")
        a.ping("10.7.0.2")
        assert b.endpoint_of(a) == "192.0.2.50:51820"
