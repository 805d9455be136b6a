"""With wireguard-go, boringtun and gotatun at the other end, each in both roles."""

from __future__ import annotations

import sys
from contextlib import ExitStack

import pytest

from tests.lab.dumps import Row
from tests.lab.nodes import (
    INNER,
    INSIDE,
    OURS,
    OUTER,
    Node,
    cable,
    inside,
    pair,
    pass_time,
    peer_section,
    steady_pings,
    transfer,
    until,
)
from tests.lab.others import OTHERS, Other
from tests.lab.wire import Wire
from wirewright.keys import PresharedKey, SecretKey
from wirewright.lab import Lab, Weather

SIZES = (0, 1, 15, 16, 17, 512, 1371, 1372, 1373, 2000, 8192)


@pytest.fixture(params=OTHERS, ids=lambda other: other.program)
def other(request: pytest.FixtureRequest) -> Other:
    found: Other = request.param
    return found


@pytest.fixture(params=["ours first", "theirs first"])
def programs(request: pytest.FixtureRequest, other: Other) -> tuple[str, str]:
    """The programs of a, who begins, and b."""
    both = (OURS, other.path)
    return both if request.param == "ours first" else both[::-1]


def change(node: Node, other: Other, peer: str) -> None:
    """Give an interface the key and port that its node has by now."""
    if node.program != OURS and not other.can_be_changed:
        node.kill()
        node.start()
    node.setconf(peer)


@pytest.mark.parametrize("outer", [4, 6])
def test_either_begins_and_data_pass(programs: tuple[str, str], outer: int) -> None:
    with Lab(cable()) as lab:
        wire = Wire(lab["a"])
        a, b = pair(lab, programs=programs, outer=outer)
        a.ping("10.7.0.2")
        b.ping("fd07::1")
        for source, target, there in (("a", "b", INNER[1]), ("b", "a", INNER[0])):
            for address in there:
                transfer(lab[source], lab[target], address, 3_000_000)
        assert (wire.went("initiation"), wire.came("response")) == (1, 1)
        assert wire.came("initiation") == 0


def test_datagrams_of_every_size_come_back_whole(programs: tuple[str, str]) -> None:
    with Lab(cable()) as lab:
        a, _ = pair(lab, programs=programs)
        a.ping("10.7.0.2")
        server = inside(lab["b"], "echo")
        for address in INNER[1]:
            lab["a"].run(sys.executable, INSIDE, "sizes", address, *map(str, SIZES))
        server.kill()
        server.communicate()


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


@pytest.mark.parametrize("family", [4, 6])
def test_roaming_is_followed(programs: tuple[str, str], other: Other, family: int) -> None:
    programs = (programs[0] if programs[0] == OURS else f"{programs[0]} {other.when_roaming}", programs[1])
    with Lab(cable()) as lab:
        a, b = pair(lab, programs=programs, outer=family)
        a.ping("10.7.0.2")
        new, length = ("192.0.2.99", 24) if family == 4 else ("fd00::99", 64)
        lab["a"].run("ip", "address", "del", f"{OUTER[family][0]}/{length}", "dev", "eth0")
        lab["a"].run("ip", "address", "add", f"{new}/{length}", "dev", "eth0", *["nodad"] * (family == 6))
        a.ping("10.7.0.2")
        assert b.endpoint_of(a) == (f"{new}:51820" if family == 4 else f"[{new}]:51820")
        b.ping("10.7.0.1")


def test_a_port_that_changes_is_followed(programs: tuple[str, str], other: Other) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, programs=programs)
        a.ping("10.7.0.2")
        a.port = 4444
        change(a, other, peer_section(b, endpoint="192.0.2.2"))
        a.ping("10.7.0.2")
        assert b.endpoint_of(a) == "192.0.2.1:4444"
        b.ping("10.7.0.1")


def test_keepalives_are_understood(programs: tuple[str, str], other: Other) -> None:
    with Lab(cable()) as lab:
        wire = Wire(lab["b"])
        a, b = pair(lab, programs=programs)
        a.setconf(peer_section(b, endpoint="192.0.2.2", keepalive=1))
        until(lambda: wire.came("keepalive") >= 3, "keepalives come without being asked for")
        assert b.latest_handshake(a) > 0
        if b.program == OURS or other.counts_received_datagrams:
            # One handshake, and what was not only received but also accepted.
            assert b.received(a) >= 148 + 2 * 32


def test_who_was_restarted_begins_anew_and_is_followed(programs: tuple[str, str]) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, programs=programs)
        a.ping("10.7.0.2")
        b.kill()
        b.start().setconf(peer_section(a, endpoint="192.0.2.1"))
        b.ping("10.7.0.1")
        a.ping("10.7.0.2")


def test_who_was_restarted_is_met_again_by_whom_it_left(other: Other) -> None:
    with Lab(cable()) as lab:
        wire = Wire(lab["a"])
        a, b = pair(lab, programs=(OURS, other.path))
        a.ping("10.7.0.2")
        b.kill()
        # It knows the peer, and not where it is. After 15 silent seconds a asks for new keys.
        b.start().setconf(peer_section(a))
        a.ping("10.7.0.2", seconds=40)
        assert wire.went("initiation") >= 2


def test_a_new_private_key_is_followed_by_who_learns_it(programs: tuple[str, str], other: Other) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, programs=programs)
        a.ping("10.7.0.2")
        old = a.public_key
        a.key = SecretKey.generate()
        change(a, other, peer_section(b, endpoint="192.0.2.2"))
        b.wg("set", "peer", str(old), "remove")
        b.add(peer_section(a, endpoint="192.0.2.1"))
        a.ping("10.7.0.2")
        b.ping("10.7.0.1")


def test_the_dumps_of_both_ends_agree(programs: tuple[str, str], other: Other) -> None:
    with Lab(cable()) as lab:
        key = PresharedKey.generate()
        a, b = pair(lab, programs=programs, preshared_key=key)
        a.setconf(peer_section(b, endpoint="192.0.2.2", preshared_key=key, keepalive=25))
        a.ping("10.7.0.2", count=5)
        transfer(lab["b"], lab["a"], "10.7.0.1", 500_000)

        for node, peer, where in ((a, b, "192.0.2.2"), (b, a, "192.0.2.1")):
            dump = node.dump()
            is_ours = node.program == OURS
            if is_ours or other.tells_private_key:
                assert (dump.private_key, dump.public_key) == (node.key.expose(), str(node.public_key))
            assert (dump.port, dump.fwmark, set(dump.peers)) == (node.port, 0, {str(peer.public_key)})
            row = dump.peers[str(peer.public_key)]
            assert row == Row(
                preshared_key=key.expose(),
                endpoint=f"{where}:{peer.port}",
                allowed_ips=frozenset((f"{peer.addresses[0]}/32", f"{peer.addresses[1]}/128")),
                handshake=row.handshake,
                received=row.received,
                sent=row.sent,
                keepalive=25 if node is a else 0,
            )
        if other.tells_time_of_handshake:
            assert abs(a.latest_handshake(b) - b.latest_handshake(a)) <= 2
        ours, theirs = (a, b) if a.program == OURS else (b, a)
        if other.counts_sent_datagrams:
            until(lambda: ours.received(theirs) == theirs.sent(ours), "we received what they sent")
        if other.counts_received_datagrams:
            until(lambda: ours.sent(theirs) == theirs.received(ours), "they received what we sent")


def test_a_stream_survives_bad_weather(programs: tuple[str, str]) -> None:
    with Lab(cable(weather=Weather(delay=0.01, jitter=0.002, loss=0.01))) as lab:
        a, _ = pair(lab, programs=programs)
        a.ping("10.7.0.2")
        transfer(lab["a"], lab["b"], "10.7.0.2", 2_000_000)


def test_both_begin_at_once_and_agree(programs: tuple[str, str]) -> None:
    """Each answers the other's initiation and forgets its own, so that neither gets an answer: who tries
    again first wins.

    Both try again with the first packet after five seconds, and packets at one pace bring the next collision:
    on a busy machine, where an answer takes milliseconds, it may take several rounds.
    """
    with Lab(cable()) as lab:
        a, b = pair(lab, programs=programs)
        pings = [
            node.machine.popen("ping", "-n", "-c3", "-i", pace, "-w", "45", address, stdout=-3)
            for node, address, pace in ((a, "10.7.0.2", "0.2"), (b, "10.7.0.1", "0.23"))
        ]
        assert [ping.wait(60) for ping in pings] == [0, 0]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_keys_are_renewed_by_who_began_and_nothing_is_lost(other: Other) -> None:
    """Over two renewals, in two networks at the same time."""
    with ExitStack() as stack:
        networks = []
        for programs in ((OURS, other.path), (other.path, OURS)):
            lab = stack.enter_context(Lab(cable()))
            wire = Wire(lab["a"])
            a, b = pair(lab, programs=programs)
            a.ping("10.7.0.2")
            pings = [steady_pings(a, "10.7.0.2", 260), steady_pings(b, "10.7.0.1", 260)]
            networks.append((wire, pings))
        pass_time(260)
        for wire, pings in networks:
            for ping in pings:
                said, _ = ping.communicate(timeout=60)
                assert " 0% packet loss" in said
            assert (wire.went("initiation"), wire.came("response")) == (3, 3)
            assert (wire.came("initiation"), wire.went("response")) == (0, 0)
