"""Topologies are values: what they refuse, how they are drawn and read."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from wirewright.lab import (
    Host,
    Link,
    Nat,
    Rate,
    Route,
    Topology,
    TopologyError,
    Weather,
    at,
    read_topology,
)


def link(left: str = "a", right: str = "b") -> Link:
    return Link(at(left), at(right))


def test_interfaces_are_numbered_in_the_order_of_a_host_s_links() -> None:
    topology = Topology((link("a", "b"), link("c", "b"), link("b", "d")))
    assert list(topology.interfaces("b")) == ["eth0", "eth1", "eth2"]
    assert list(topology.interfaces("d")) == ["eth0"]


def test_hosts_that_only_a_link_names_exist() -> None:
    topology = Topology((link("a", "b"),), (Host("b", forward=True),))
    assert [host.name for host in topology.all_hosts] == ["b", "a"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: at("a", "10.0.0.300/24"), "a: an address with its prefix length"),
        (lambda: Host("A b"), "name of a host"),
        (lambda: Link(at("a"), at("b"), mtu=20), "MTU of 20"),
        (lambda: Rate(10), "too low"),
        (lambda: Weather(loss=2), "shares from 0 to 1"),
        (lambda: Weather(delay=-1), "from 0 to 3600 seconds"),
        (lambda: Weather(delay=math.inf), "from 0 to 3600 seconds"),
        (lambda: Weather(jitter=math.nan), "from 0 to 3600 seconds"),
        (lambda: Weather(delay=1e300), "from 0 to 3600 seconds"),
        (lambda: at("\x1b[31m", "10.0.0.300/24"), r"'\\x1b\[31m' cannot be the name of a host"),
        (lambda: Route("everywhere", "10.0.0.1"), "'everywhere' is not a network"),
        (lambda: Nat("eth0", udp_timeout=0), "at least 1 second"),
        (lambda: Topology((link(),), (Host("a", nat=Nat("eth7")),)), "'eth7', which no link gives it"),
        (lambda: Topology((), ()), "from 1 to 64 hosts"),
        (lambda: Topology((link(),), (Host("a"), Host("a"))), "same name"),
        (
            lambda: Topology((Link(at("a", interface="x"), at("b")), Link(at("a", interface="x"), at("c")))),
            "two links end at x",
        ),
    ],
)
def test_what_cannot_be_built_is_refused_in_words(make: object, words: str) -> None:
    assert callable(make)
    with pytest.raises(TopologyError, match=words):
        make()


def test_the_drawing_shows_hosts_links_and_what_hosts_do() -> None:
    topology = Topology(
        (
            Link(at("home", "192.168.1.2/24", "fd01::2/64"), at("router", "192.168.1.1/24")),
            Link(
                at("router", "203.0.113.1/24"),
                at("server", "203.0.113.9/24"),
                mtu=1400,
                rate=Rate(20_000_000),
                weather=Weather(delay=0.025, loss=0.01),
            ),
        ),
        (
            Host("home", routes=(Route("default", "192.168.1.1"),)),
            Host("router", forward=True, nat=Nat("eth1")),
        ),
    )
    drawn = """\
┌─────────────────────┐              ┌─────────────────────┐
│ home                │              │ router              │
│ eth0 192.168.1.2/24 ├── MTU 1500 ──┤ eth0 192.168.1.1/24 │
│      fd01::2/64     │              │                     │
└─────────────────────┘              └─────────────────────┘
┌─────────────────────┐                                                              ┌─────────────────────┐
│ router              │                                                              │ server              │
│ eth1 203.0.113.1/24 ├── MTU 1400, 20 Mbit/s, FIFO 100 kB, 25 ms, 1% lost ──┤ eth0 203.0.113.9/24 │
└─────────────────────┘                                                              └─────────────────────┘
home reaches default via 192.168.1.1
router forwards
router masquerades what leaves by eth1: UDP 30 s, 120 s once answered"""
    shortened = [" ".join(line.split()) for line in str(topology).splitlines()]
    assert shortened == [" ".join(line.split()) for line in drawn.splitlines()]
    assert len({len(line) for line in str(topology).splitlines()[:5]}) == 1


FILE = """
[[links]]
left = { host = "home", addresses = ["192.168.1.2/24"] }
right = { host = "router", addresses = ["192.168.1.1/24"] }
mtu = 1400
rate = { bits = 20_000_000 }
weather = { delay = 0.025, loss = 0.01 }

[hosts.home]
routes = [{ to = "default", via = "192.168.1.1" }]

[hosts.router]
forward = true
nat = { outside = "eth0", udp_timeout = 5 }
"""


def test_a_file_becomes_the_values_that_its_keys_name(tmp_path: Path) -> None:
    path = tmp_path / "home.toml"
    path.write_text(FILE)
    assert read_topology(path) == Topology(
        (
            Link(
                at("home", "192.168.1.2/24"),
                at("router", "192.168.1.1/24"),
                1400,
                Rate(20_000_000),
                Weather(delay=0.025, loss=0.01),
            ),
        ),
        (
            Host("home", routes=(Route("default", "192.168.1.1"),)),
            Host("router", forward=True, nat=Nat("eth0", udp_timeout=5)),
        ),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("links = 1", "links are written"),
        ("[[link]]", "link: only"),
        ("[[links]]\nleft = 1", r"links\[0\]\.left must be a table"),
        ('[[links]]\nleft = { host = "a" }', r"links\[0\] has no right"),
        ('[[links]]\nleft = { host = "a", color = 1 }', r"links\[0\]\.left\.color: not known here"),
        ('[[links]]\nleft = { host = "a", addresses = "x" }', "must be a list of texts"),
        ("[hosts.a]\nforward = 1", r"hosts\.a\.forward must be bool, not 1"),
        ("[hosts.a]\nroutes = 3", r"hosts\.a\.routes must be a list"),
        ("[hosts.a]\nnat = { outside = 1 }", r"hosts\.a\.nat\.outside must be str"),
        ("[[", "key part"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(TopologyError, match=words) as raised:
        read_topology(path)
    assert str(path) in str(raised.value)


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "noise.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(TopologyError, match="no text in UTF-8"):
        read_topology(path)
