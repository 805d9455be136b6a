"""Allowed IPs: to whom a packet goes, and from whom one is taken."""

from __future__ import annotations

from tests.lab.nodes import Node, cable, pair, peer_section, until
from wirewright.lab import Lab, Link, Topology, at

THREE = Topology(
    (
        Link(at("a", "192.0.2.1/24"), at("b", "192.0.2.2/24")),
        Link(at("a", "198.51.100.1/24"), at("c", "198.51.100.2/24")),
    ),
)


def three(lab: Lab) -> tuple[Node, Node, Node]:
    """a and two peers of a's, which all have 10.9.0.9."""
    a, b, c = (
        Node(lab[host], (f"10.7.0.{number}",)).start() for host, number in (("a", 1), ("b", 2), ("c", 3))
    )
    a.setconf(peer_section(b, endpoint="192.0.2.2"), peer_section(c, endpoint="198.51.100.2"))
    b.setconf(peer_section(a, endpoint="192.0.2.1"))
    c.setconf(peer_section(a, endpoint="198.51.100.1"))
    for node in (b, c):
        node.machine.run("ip", "address", "add", "10.9.0.9/32", "dev", "wg0")
    lab["a"].run("ip", "route", "add", "10.9.0.0/16", "dev", "wg0")
    return a, b, c


def test_a_packet_from_an_address_that_is_not_its_sender_s_is_dropped() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        lab["b"].run("ip", "address", "add", "10.7.0.77/32", "dev", "wg0")
        arrived = int(lab["a"].run("cat", "/sys/class/net/wg0/statistics/rx_packets").stdout)
        received = a.received(b)
        ping = ("ping", "-n", "-I", "10.7.0.77", "10.7.0.1")
        assert lab["b"].run(*ping, "-c3", "-i", "0.2", "-W1", check=False).returncode == 1
        # They came, and went no further.
        assert a.received(b) - received >= 3 * 128
        assert int(lab["a"].run("cat", "/sys/class/net/wg0/statistics/rx_packets").stdout) == arrived
        a.wg("set", "peer", str(b.public_key), "allowed-ips", "10.7.0.2/32,10.7.0.77/32")
        lab["b"].run(*ping, "-c1", "-w10")


def test_a_packet_to_nobody_s_address_is_refused_and_one_without_an_endpoint_too() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        sent = a.sent(b)
        assert not a.reaches("10.7.0.200")
        assert a.sent(b) == sent
        a.setconf(peer_section(b))
        assert not a.reaches("10.7.0.2")
        assert (a.sent(b), a.latest_handshake(b)) == (0, 0)


def test_a_network_belongs_to_the_peer_that_had_it_last() -> None:
    with Lab(THREE) as lab:
        a, b, c = three(lab)
        shared = "10.9.0.0/24"
        for winner, loser in ((b, c), (c, b)):
            a.wg("set", "peer", str(winner.public_key), "allowed-ips", f"{winner.addresses[0]}/32,{shared}")
            assert shared not in a.show("allowed-ips")[str(loser.public_key)]
            before = a.sent(winner), a.sent(loser)
            a.ping("10.9.0.9")
            assert a.sent(winner) > before[0]
            assert a.sent(loser) == before[1]


def test_the_longest_of_overlapping_networks_decides() -> None:
    with Lab(THREE) as lab:
        a, b, c = three(lab)
        a.wg("set", "peer", str(b.public_key), "allowed-ips", "10.9.0.0/16")
        a.ping("10.9.0.9")
        assert (a.received(b) > 0, a.received(c)) == (True, 0)
        a.wg("set", "peer", str(c.public_key), "allowed-ips", "10.9.0.0/24")
        a.ping("10.9.0.9")
        until(lambda: a.received(c) > 0, "the narrower network's peer answers")
        a.wg("set", "peer", str(c.public_key), "remove")
        a.ping("10.9.0.9")


def test_networks_are_listed_without_the_bits_that_do_not_count() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.wg("set", "peer", str(b.public_key), "allowed-ips", "10.7.0.2/24,192.0.2.255/1,fd07::ffff/64,::1/0")
        assert set(a.show("allowed-ips")[str(b.public_key)].split()) == {
            "10.7.0.0/24",
            "128.0.0.0/1",
            "fd07::/64",
            "::/0",
        }
