"""Interfaces whose peers are at home in several threads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.lab.nodes import Node, cable, peer_section, transfer, until
from wirewright.lab import Lab

PEERS = 6
SO_ATTACH_REUSEPORT_CBPF = "51"
FORBID = (sys.executable, str(Path(__file__).with_name("forbid.py")), SO_ATTACH_REUSEPORT_CBPF)
SHARDS = pytest.mark.parametrize("shards", [2, 4])


def hub(lab: Lab, shards: int, *, outer: int = 4, wrapper: Sequence[str] = ()) -> tuple[Node, list[Node]]:
    """One interface on a with a peer in each of several interfaces on b."""
    ends = {4: ("192.0.2.1", "192.0.2.2"), 6: ("fd00::1", "fd00::2")}[outer]
    addresses = [f"10.{number}.0.1" for number in range(20, 20 + PEERS)]
    a = Node(lab["a"], addresses, shards=shards, wrapper=wrapper).start()
    others = [
        Node(lab["b"], (f"{address[:-1]}2",), f"wg{number}", port=6000 + number).start()
        for number, address in enumerate(addresses)
    ]
    a.setconf(*(peer_section(other, endpoint=ends[1]) for other in others))
    for other, address in zip(others, addresses, strict=True):
        other.setconf(peer_section(a, endpoint=ends[0], allowed=[f"{address}/32"]))
    return a, others


def carry(a: Node, others: list[Node], size: int = 500_000) -> None:
    """Carry a stream each way between a and each of the others."""
    for other, address in zip(others, a.addresses, strict=True):
        a.ping(other.addresses[0])
        transfer(a.machine, other.machine, other.addresses[0], size)
        transfer(other.machine, a.machine, address, size)


@SHARDS
@pytest.mark.parametrize("outer", [4, 6])
def test_peers_of_several_shards_are_served_and_datagrams_come_to_their_own(shards: int, outer: int) -> None:
    with Lab(cable()) as lab:
        a, others = hub(lab, shards, outer=outer)
        carry(a, others)
        assert all(a.latest_handshake(other) for other in others)
        assert set(a.show("transfer")) == {str(other.public_key) for other in others}
        # The receiver index steers them, and handshakes have none or are steered as well.
        assert a.counters()["handed_over_datagrams"] == 0


@SHARDS
def test_where_datagrams_cannot_be_steered_shards_hand_them_over(shards: int) -> None:
    with Lab(cable()) as lab:
        a, others = hub(lab, shards, wrapper=FORBID)
        carry(a, others)
        counters = a.counters()
        assert counters["handed_over_datagrams"] > 100
        assert counters["handover_refused"] < counters["handed_over_datagrams"] / 10


def test_datagrams_are_steered_on_a_port_that_changed_too() -> None:
    with Lab(cable()) as lab:
        a, others = hub(lab, 4)
        for other in others:
            a.ping(other.addresses[0])
        a.wg("set", "listen-port", "4444")
        carry(a, others, 100_000)
        assert {other.endpoint_of(a) for other in others} == {"192.0.2.1:4444"}
        assert a.counters()["handed_over_datagrams"] == 0


def test_a_stream_s_packets_come_to_the_shard_of_their_peer_once_it_was_heard() -> None:
    with Lab(cable()) as lab:
        a, others = hub(lab, 4)
        carry(a, others, 5_000_000)
        datagrams = sum(a.received(other) for other in others) / 1452
        # The TUN sends a flow's packets to the queue that wrote those of its other direction.
        assert a.counters()["handed_over_packets"] < datagrams / 10


def test_all_peers_are_served_at_once() -> None:
    with Lab(cable()) as lab:
        a, others = hub(lab, 4)
        for other in others:
            a.ping(other.addresses[0])
        floods = [
            a.machine.popen(
                "ping", "-n", "-q", "-f", "-c", "2000", "-w", "40", *other.addresses, stdout=-1, text=True
            )
            for other in others
        ]
        for flood in floods:
            said, _ = flood.communicate(timeout=50)
            received = int(said.split(" received")[0].rsplit(" ", 1)[1])
            assert received > 1900, said


def test_peers_that_come_and_go_leave_the_others_alone() -> None:
    with Lab(cable()) as lab:
        a, others = hub(lab, 4)
        stay, go = others[::2], others[1::2]
        flood = a.machine.popen(
            "ping", "-n", "-q", "-i", "0.01", *stay[0].addresses, stdout=subprocess.DEVNULL
        )
        for _ in range(5):
            for other in go:
                a.wg("set", "peer", str(other.public_key), "remove")
            assert set(a.show("endpoints")) == {str(other.public_key) for other in stay}
            a.add(*(peer_section(other, endpoint="192.0.2.2") for other in go))
            for other in others:
                a.ping(other.addresses[0])
        assert flood.poll() is None
        flood.kill()
        flood.wait()


def test_an_interface_with_several_shards_ends_and_begins_again() -> None:
    with Lab(cable()) as lab:
        a, others = hub(lab, 4)
        for other in others:
            a.ping(other.addresses[0])
        assert lab["a"].kill("wirewright-tun") == 1
        until(lambda: not lab["a"].processes("wirewright-tun"), "it has ended")
        a.start().setconf(*(peer_section(other, endpoint="192.0.2.2") for other in others))
        for other in others:
            a.ping(other.addresses[0])
