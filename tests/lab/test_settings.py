"""Settings that change under a running interface, and settings of great size."""

from __future__ import annotations

import itertools
import os
from base64 import b64encode

import pytest

from tests.lab.nodes import INNER, Node, cable, pair, peer_section, until
from tests.lab.wire import Wire
from wirewright.keys import SecretKey
from wirewright.lab import Lab

ALLOWED = 130_000
# The points of the curve and its twist whose order divides eight, also in the forms that are not reduced, and
# with the bit that RFC 7748 has ignored: a secret times any of them is zero.
FIELD = 2**255 - 19
SMALL = (
    *(0, 1, FIELD - 1, FIELD, FIELD + 1),
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
LOW_ORDER = [(point | bit).to_bytes(32, "little") for point in SMALL for bit in (0, 1 << 255)]
PEERS = 100_000


@pytest.mark.parametrize("shards", [1, 4])
def test_a_key_that_changes_under_traffic_is_followed_by_who_learns_it(shards: int) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, shards=shards)
        a.ping("10.7.0.2")
        old = a.public_key
        a.key = SecretKey.generate()
        a.wg("set", "private-key", "/dev/stdin", input=a.key.expose() + "\n")
        assert not a.reaches("10.7.0.2")
        b.wg("set", "peer", str(old), "remove")
        b.add(peer_section(a, endpoint="192.0.2.1"))
        b.ping("10.7.0.1")
        a.ping("10.7.0.2")
        assert a.wg("show", "public-key").strip() == str(a.public_key)


def test_an_interface_without_a_key_is_silent_and_speaks_once_it_has_one() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.wg("set", "private-key", "/dev/null")
        assert not a.reaches("10.7.0.2")
        assert a.wg("show", "private-key").strip() == "(none)"
        a.wg("set", "private-key", "/dev/stdin", input=a.key.expose() + "\n")
        a.ping("10.7.0.2")
        assert b.received(a) > 0


@pytest.mark.parametrize("shards", [1, 4])
def test_a_port_that_changes_under_traffic_is_followed_by_the_peer(shards: int) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, shards=shards)
        a.ping("10.7.0.2")
        handshake = a.latest_handshake(b)
        a.wg("set", "listen-port", "4444")
        a.ping("10.7.0.2")
        assert b.endpoint_of(a) == "192.0.2.1:4444"
        b.ping("10.7.0.1")
        assert a.latest_handshake(b) == handshake
        assert ":51820" not in lab["a"].run("ss", "-uln").stdout


def test_a_port_that_was_left_is_free_at_once() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        other = Node(lab["a"], ("10.8.0.1",), "wg1", port=51821).start()
        for _ in range(50):
            a.wg("set", "listen-port", "4444")
            other.wg("set", "listen-port", "51820")
            other.wg("set", "listen-port", "51821")
            a.wg("set", "listen-port", "51820")
        a.ping("10.7.0.2")
        assert b.endpoint_of(a) == "192.0.2.1:51820"


def test_port_zero_is_a_free_one() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.wg("set", "listen-port", "0")
        assert int(a.wg("show", "listen-port")) not in (0, 51820)
        a.ping("10.7.0.2")
        b.ping("10.7.0.1")


@pytest.mark.parametrize("shards", [1, 4])
def test_a_port_in_use_is_refused_and_nothing_else_changes(shards: int) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, shards=shards)
        other = Node(lab["a"], ("10.8.0.1",), "wg1", port=51821, shards=shards).start()
        refused = lab["a"].run("wg", "set", "wg1", "listen-port", "51820", "fwmark", "7", check=False)
        assert refused.returncode == 1
        assert "Address already in use" in refused.stderr
        assert (other.wg("show", "listen-port").strip(), other.wg("show", "fwmark").strip()) == (
            "51821",
            "off",
        )
        a.ping("10.7.0.2")
        assert b.received(a) > 0


def test_two_interfaces_in_one_namespace_do_not_meet() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        c = Node(lab["a"], ("10.8.0.1",), "wg1", port=51821).start()
        d = Node(lab["b"], ("10.8.0.2",), "wg1", port=51821).start()
        c.setconf(peer_section(d, endpoint="192.0.2.2"))
        d.setconf(peer_section(c, endpoint="192.0.2.1"))
        a.ping("10.7.0.2")
        c.ping("10.8.0.2")
        assert set(lab["a"].run("wg", "show", "interfaces").stdout.split()) == {"wg0", "wg1"}
        assert (len(lab["a"].processes("wirewright-tun")), b.received(a) > 0, d.received(c) > 0) == (
            2,
            True,
            True,
        )


def test_peers_with_low_order_points_are_kept_and_never_spoken_to() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        wire = Wire(lab["a"])
        for number, point in enumerate(LOW_ORDER):
            key = b64encode(point).decode()
            a.add(f"[Peer]\nPublicKey = {key}\nAllowedIPs = 10.7.1.{number}/32\nEndpoint = 192.0.2.2:51820\n")
        lab["a"].run("ip", "route", "add", "10.7.1.0/24", "dev", "wg0")
        for number in range(len(LOW_ORDER)):
            lab["a"].run("ping", "-n", "-c1", "-W", "0.1", f"10.7.1.{number}", check=False)
        a.ping("10.7.0.2")
        assert wire.went("initiation") == 0
        assert {b64encode(point).decode() for point in LOW_ORDER} <= set(a.show("latest-handshakes"))
        assert b.received(a) > 0


def test_keepalives_begin_with_the_key_and_need_no_packet() -> None:
    with Lab(cable()) as lab:
        wire = Wire(lab["a"])
        a, b = (Node(lab[host], inner).start() for host, inner in zip("ab", INNER, strict=True))
        b.setconf(peer_section(a))
        a.wg("set", "private-key", "/dev/null")
        a.add(peer_section(b, endpoint="192.0.2.2", keepalive=1))
        assert not a.reaches("10.7.0.2")
        assert wire.went("initiation") == 0
        a.wg("set", "private-key", "/dev/stdin", input=a.key.expose() + "\n")
        until(lambda: wire.went("keepalive") >= 2, "keepalives follow a handshake")
        assert b.latest_handshake(a) > 0


def test_a_peer_whose_key_becomes_our_own_is_removed() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        twin = Node(lab["b"], ("10.8.0.2",))
        a.add(peer_section(twin))
        assert set(a.show("allowed-ips")) == {str(b.public_key), str(twin.public_key)}
        a.wg("set", "private-key", "/dev/stdin", input=twin.key.expose() + "\n")
        assert set(a.show("allowed-ips")) == {str(b.public_key)}


def test_our_own_key_as_a_peer_is_left_out() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.add(peer_section(a))
        assert set(a.show("allowed-ips")) == {str(b.public_key)}
        a.ping("10.7.0.2")


def prefixes() -> list[str]:
    """Networks that do not overlap, of both families."""
    v4 = (
        f"{first}.{second}.{third}.0/24"
        for first in (11, 12)
        for second in range(256)
        for third in range(256)
    )
    v6 = (f"fd10:{number:x}::/32" for number in range(1, 0x10000))
    return [*itertools.islice(v4, ALLOWED - 3000), *itertools.islice(v6, 3000)]


def test_a_hundred_and_thirty_thousand_allowed_ips_are_set_and_listed() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        wanted = prefixes()
        a.setconf(peer_section(b, endpoint="192.0.2.2", allowed=["10.7.0.2/32", *wanted]))
        listed = a.show("allowed-ips")[str(b.public_key)].split()
        assert len(listed) == ALLOWED + 1
        assert set(listed) == {"10.7.0.2/32", *wanted}
        a.ping("10.7.0.2")
        a.setconf(peer_section(b, endpoint="192.0.2.2"))
        a.ping("10.7.0.2")


def test_a_hundred_thousand_peers_are_set_and_shown_while_packets_pass() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        sections = [
            f"[Peer]\nPublicKey = {b64encode(os.urandom(31) + bytes([7])).decode()}\n"
            f"AllowedIPs = 11.{number >> 16}.{number >> 8 & 255}.{number & 255}/32\n"
            for number in range(PEERS)
        ]
        a.add(*sections)
        assert len(a.wg("show", "peers").split()) == PEERS + 1
        assert len(a.wg("show", "dump", timeout=30).splitlines()) == PEERS + 2
        a.ping("10.7.0.2")
        a.setconf(peer_section(b, endpoint="192.0.2.2"))
        assert a.wg("show", "peers").split() == [str(b.public_key)]
        a.ping("10.7.0.2")
