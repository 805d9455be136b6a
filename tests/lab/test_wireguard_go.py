"""With wireguard-go at the other end, in both directions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.nodes import OURS, Node, cable, pair, peer_section, transfer, until
from wirewright.keys import PresharedKey
from wirewright.lab import Lab, Weather


@pytest.fixture(params=["ours first", "theirs first"])
def programs(request: pytest.FixtureRequest, wireguard_go: Path) -> tuple[str, str]:
    """The programs of a, who begins, and b."""
    both = (OURS, str(wireguard_go))
    return both if request.param == "ours first" else both[::-1]


@pytest.mark.parametrize("outer", [4, 6])
def test_either_begins_and_data_passes(programs: tuple[str, str], outer: int) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, programs=programs, outer=outer)
        a.ping("10.7.0.2")
        b.ping("fd07::1")
        transfer(lab["a"], lab["b"], "10.7.0.2", 10_000_000)
        transfer(lab["b"], lab["a"], "fd07::1", 10_000_000)
        assert a.latest_handshake(b) > 0


def test_a_preshared_key_must_be_the_same(programs: tuple[str, str]) -> None:
    with Lab(cable()) as lab:
        key = PresharedKey.generate()
        a, b = pair(lab, programs=programs, preshared_key=key)
        a.ping("10.7.0.2")
        a.setconf(peer_section(b, endpoint="192.0.2.2", preshared_key=PresharedKey.generate()))
        assert not a.reaches("10.7.0.2")
        assert a.latest_handshake(b) == 0
        a.setconf(peer_section(b, endpoint="192.0.2.2", preshared_key=key))
        a.ping("10.7.0.2")


def test_roaming_is_followed(programs: tuple[str, str]) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, programs=programs)
        a.ping("10.7.0.2")
        lab["a"].run("ip", "address", "del", "192.0.2.1/24", "dev", "eth0")
        lab["a"].run("ip", "address", "add", "192.0.2.99/24", "dev", "eth0")
        a.ping("10.7.0.2")
        assert b.endpoint_of(a) == "192.0.2.99:51820"
        b.ping("10.7.0.1")


def test_keepalives_are_understood(programs: tuple[str, str]) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, programs=programs)
        a.setconf(peer_section(b, endpoint="192.0.2.2", keepalive=1))
        until(lambda: b.received(a) > 148 + 2 * 32, "a handshake and two keepalives")
        assert b.latest_handshake(a) > 0


def test_a_stream_survives_bad_weather(programs: tuple[str, str]) -> None:
    with Lab(cable(weather=Weather(delay=0.01, jitter=0.002, loss=0.01))) as lab:
        a, _ = pair(lab, programs=programs)
        a.ping("10.7.0.2")
        transfer(lab["a"], lab["b"], "10.7.0.2", 2_000_000)


def test_both_begin_at_once_and_agree(programs: tuple[str, str]) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, programs=programs)
        first: Node = a
        pings = [
            node.machine.popen("ping", "-n", "-c3", "-i", "0.2", "-w", "15", address, stdout=-3)
            for node, address in ((first, "10.7.0.2"), (b, "10.7.0.1"))
        ]
        assert [ping.wait(30) for ping in pings] == [0, 0]
