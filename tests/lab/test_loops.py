"""Messages that are routed back into a tunnel: how often they go round, and that the machine stays usable."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.lab.nodes import OUTER, Node, answer, cable, inside, pair, peer_section, transfer, until
from wirewright.lab import Lab


@pytest.mark.parametrize("shards", [1, 2])
def test_two_peers_behind_each_other_do_not_spin(shards: int) -> None:
    with Lab(cable()) as lab:
        lab["b"].run("ip", "address", "add", "192.0.2.3/24", "dev", "eth0")
        a = Node(lab["a"], ("10.7.0.1",), shards=shards).start()
        peers = [
            Node(lab["b"], (f"10.{number}.0.2",), f"wg{number}", port=6000 + number).start()
            for number in (2, 3)
        ]
        endpoints = ("192.0.2.2", "192.0.2.3")
        a.setconf(
            *(
                peer_section(
                    peer, endpoint=endpoint, allowed=[f"{peer.addresses[0]}/32", f"{other}/32"], keepalive=1
                )
                for peer, endpoint, other in zip(peers, endpoints, endpoints[::-1], strict=True)
            )
        )
        for peer in peers:
            peer.setconf(peer_section(a))
        until(lambda: all(map(a.latest_handshake, peers)), "both have shaken hands")
        before = sum(a.sent(peer) for peer in peers)
        for endpoint in endpoints:
            lab["a"].run("ip", "route", "add", f"{endpoint}/32", "dev", "wg0")
        for peer in peers:
            lab["a"].run("ip", "route", "add", f"{peer.addresses[0]}/32", "dev", "wg0")
            assert not a.reaches(peer.addresses[0])
        assert sum(a.sent(peer) for peer in peers) - before < 5_000
        assert a.counters()["routing_loop"] > 0


SECOND = {4: "192.0.2.3", 6: "fd00::3"}


def crossed(lab: Lab, family: int, shards: int = 1) -> tuple[list[Node], list[Node]]:
    """Two interfaces on a, each with a peer on b. The way to either's peer then leads into the other."""
    lab["b"].run("ip", "address", "add", SECOND[family], "dev", "eth0")
    ends = (OUTER[family][1], SECOND[family])
    for host, other in (("a", ends[1]), ("b", OUTER[family][0])):
        lab[host].run("ip", "route", "replace", other, "dev", "eth0")
    ours, theirs = (
        [
            Node(
                lab[host], (f"10.{number}.0.{last}",), f"wg{number}", port=6000 + number, shards=shards
            ).start()
            for number in (0, 1)
        ]
        for host, last in (("a", 1), ("b", 2))
    )
    for number, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        allowed = [f"10.{number}.0.2/32", ends[1 - number]]
        our.setconf(peer_section(their, endpoint=ends[number], allowed=allowed))
        their.setconf(peer_section(our))
        our.ping(f"10.{number}.0.2")
    for number, end in enumerate(ends):
        lab["a"].run("ip", "route", "replace", end, "dev", f"wg{1 - number}")
    return ours, theirs


def pass_time(seconds: float) -> None:
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, f"{seconds} s pass")


def cpu_seconds(processes: list[int]) -> float:
    fields = [Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split() for process in processes]
    return sum(int(field[11]) + int(field[12]) for field in fields) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("size", [56, 1300])
def test_a_message_between_two_interfaces_that_lead_into_each_other_goes_round_a_few_times(
    family: int, size: int
) -> None:
    with Lab(cable()) as lab:
        ours, theirs = crossed(lab, family)
        before = sum(map(Node.sent, ours, theirs))
        lab["a"].run("ping", "-n", "-c1", "-W1", "-s", str(size), "10.0.0.2", check=False)

        def went_round() -> bool:
            return any(our.counters()["routing_loop"] for our in ours)

        until(went_round, "it was found out")
        # Seven levels; what is longer than the tunnel's packets is two fragments from then on.
        assert sum(map(Node.sent, ours, theirs)) - before < 40 * (size + 500)


@pytest.mark.parametrize("shards", [1, 2])
def test_a_flood_into_a_loop_ends_with_the_flood_and_leaves_other_tunnels_working(shards: int) -> None:
    with Lab(cable()) as lab:
        ours, theirs = crossed(lab, 4, shards)
        other = [
            Node(lab[host], (f"10.9.0.{last}",), "wg9", port=6009).start()
            for host, last in (("a", 1), ("b", 2))
        ]
        other[0].setconf(peer_section(other[1], endpoint="fd00::2"))
        other[1].setconf(peer_section(other[0]))
        processes = lab["a"].processes("wirewright-tun")
        lab["a"].run("ping", "-n", "-q", "-i", "0.002", "-w", "3", "-s", "1300", "10.0.0.2", check=False)
        other[0].ping("10.9.0.2")
        # Nothing is under way any more.
        until(lambda: is_still(ours, theirs), "the loop has come to rest")
        used = cpu_seconds(processes)
        pass_time(1)
        assert cpu_seconds(processes) - used < 0.2
        assert sum(our.counters()["routing_loop"] for our in ours) > 100
        for our, end in zip(ours, (OUTER[4][1], SECOND[4]), strict=True):
            lab["a"].run("ip", "route", "replace", end, "dev", "eth0")
            our.ping(f"{our.addresses[0][:-1]}2")


def is_still(ours: list[Node], theirs: list[Node]) -> bool:
    """Whether nothing but a keepalive was sent within half a second."""
    before = sum(map(Node.sent, ours, theirs))
    pass_time(0.5)
    return sum(map(Node.sent, ours, theirs)) - before < 1000


@pytest.mark.parametrize("family", [4, 6])
def test_a_tunnel_in_a_tunnel_leaves_with_fewer_hops_and_others_as_usual(family: int) -> None:
    with Lab(cable()) as lab:
        a, _ = pair(lab, outer=family)
        within = [
            Node(lab[host], (f"10.8.0.{last}",), "wg1", port=51821, mtu=1340).start()
            for host, last in (("a", 1), ("b", 2))
        ]
        within[0].setconf(peer_section(within[1], endpoint="10.7.0.2"))
        within[1].setconf(peer_section(within[0], endpoint="10.7.0.1"))
        within[0].ping("10.8.0.2")
        watch = inside(lab["b"], "hops", "eth0", "51820", "5")
        a.ping("10.7.0.2", count=5)
        assert answer(watch) == "64"
        watch = inside(lab["b"], "hops", "eth0", "51820", "5")
        within[0].ping("10.8.0.2", count=5)
        assert answer(watch) == "56"
        # Whole trains of them, too.
        transfer(lab["a"], lab["b"], "10.8.0.2", 2_000_000)
