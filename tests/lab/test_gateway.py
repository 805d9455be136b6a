"""A gateway on a system interface: its devices reach the outside, and nothing of it is left in the end."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.gateways import (
    SHOP,
    Clients,
    Gate,
    forwarding,
    is_clear,
    process_of,
    ruleset,
    topology,
    until,
)
from tests.lab.test_gateway_firewall import OTHERS
from wirewright.gateway.policy import NOTHING, Policy
from wirewright.keys import SecretKey
from wirewright.lab import Host, Lab, Topology

PHONE_TO_LAPTOP = Policy.from_json([{"destinations": ["10.88.0.3/32", "fd88::3/128"]}])
WHO = SecretKey.generate().public_key


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(topology()) as lab:
        yield lab


@pytest.fixture(scope="module")
def clients(lab: Lab, wireguard_go: Path) -> Clients:
    return Clients(lab, phone=str(wireguard_go))


@pytest.fixture
def way() -> str:
    return "wirewright"


@pytest.fixture
def gate(lab: Lab, clients: Clients, tmp_path: Path, way: str) -> Iterator[Gate]:
    gate = Gate(lab, tmp_path, way)
    before = ruleset(gate.machine), forwarding(gate.machine)
    gate.start()
    clients.connect(gate)
    yield gate
    gate.end()
    assert is_clear(gate.machine)
    assert (ruleset(gate.machine), forwarding(gate.machine)) == before


@pytest.mark.parametrize("way", ["wirewright", "nftables"])
def test_devices_reach_the_outside_and_each_other_only_where_they_may(gate: Gate, clients: Clients) -> None:
    for name in ("phone", "laptop"):
        for address in SHOP.values():
            assert clients.reaches(name, address)
            assert clients.asks(name, "tcp", address) == "yes"
            assert clients.asks(name, "udp", address) == "yes"
    assert not clients.reaches("phone", "10.88.0.3", 1)
    phone, laptop = (clients.nodes[name].public_key for name in ("phone", "laptop"))
    gate.put("phone", phone, PHONE_TO_LAPTOP)
    assert clients.reaches("phone", "10.88.0.3")
    assert clients.reaches("phone", "fd88::3")
    assert not clients.reaches("phone", SHOP[4], 1)
    assert not clients.reaches("laptop", "10.88.0.2", 1)
    gate.put("phone", phone, NOTHING)
    assert not clients.reaches("phone", "10.88.0.3", 1)
    gate.put("laptop", laptop, enabled=False)
    assert not clients.reaches("laptop", SHOP[4], 1)
    gate.put("laptop", laptop)
    clients.begin_anew("laptop", gate)
    assert clients.reaches("laptop", SHOP[4])
    gate.remove("phone")
    assert str(phone) not in gate.machine.run("wg", "show", "wg0", "peers").stdout


def test_a_device_is_cut_when_it_expires(gate: Gate, clients: Clients) -> None:
    phone = clients.nodes["phone"].public_key
    assert clients.reaches("phone", SHOP[4])
    gate.put("phone", phone, expires=time.time_ns() // 1000 + 1_500_000)
    until(
        lambda: str(phone) not in gate.machine.run("wg", "show", "wg0", "peers").stdout,
        "the device is cut",
        40,
    )
    assert not clients.reaches("phone", SHOP[4], 1)


def test_who_is_killed_leaves_devices_running_and_its_successor_takes_over(
    gate: Gate, clients: Clients
) -> None:
    assert clients.reaches("phone", SHOP[4])
    handshake = clients.nodes["phone"].wg("show", "latest-handshakes")
    gate.crash()
    assert clients.reaches("phone", SHOP[4])
    # The coordinator is away: what was kept is all there is.
    gate.start(with_state=False)
    assert clients.reaches("phone", SHOP[4])
    assert clients.reaches("laptop", SHOP[6])
    assert clients.nodes["phone"].wg("show", "latest-handshakes") == handshake, "the session goes on"
    assert ruleset(gate.machine).count("table inet wirewright_wg0 {") == 1


def test_an_engine_that_dies_is_started_again(gate: Gate, clients: Clients) -> None:
    os.kill(process_of(gate.machine, "wirewright.tun"), signal.SIGKILL)
    until(lambda: "is set up again" in gate.told, "it is noticed", 40)
    gate.put("phone", clients.nodes["phone"].public_key)
    clients.begin_anew("phone", gate)
    assert clients.reaches("phone", SHOP[4])


def alone() -> Lab:
    return Lab(Topology((), (Host("gate"),)))


def test_chains_of_others_that_let_nothing_pass_are_told_with_what_to_do(tmp_path: Path) -> None:
    with alone() as lab:
        gate = Gate(lab, tmp_path)
        gate.machine.run("nft", "-f", "-", input=OTHERS)
        before = ruleset(gate.machine)
        gate.start()
        gate.put("phone", WHO)
        assert before in ruleset(gate.machine)
        assert "ip filter FORWARD" in gate.told
        assert "iptables -I DOCKER-USER -i wg0 -j ACCEPT" in gate.told
        assert "ufw route allow in on wg0" in gate.told
        gate.end()
        assert ruleset(gate.machine) == before
        assert forwarding(gate.machine) == ["0", "0"]


def test_who_forwards_since_is_not_robbed_of_it(tmp_path: Path) -> None:
    with alone() as lab:
        gate = Gate(lab, tmp_path)
        gate.start()
        gate.machine.run("nft", "-f", "-", input=OTHERS)
        gate.crash()
        gate.start(with_state=False)
        gate.end()
        assert forwarding(gate.machine) == ["1", "1"]
        assert "goes on forwarding" in gate.told
        assert is_clear(gate.machine)


def test_forwarding_is_as_it_was_though_gateway_and_engine_were_killed(tmp_path: Path) -> None:
    with alone() as lab:
        gate = Gate(lab, tmp_path)
        gate.start()
        engine = process_of(gate.machine, "wirewright.tun")
        gate.crash()
        os.kill(engine, signal.SIGKILL)
        until(lambda: ": wg0:" not in gate.machine.run("ip", "-o", "link").stdout, "it is gone", 40)
        assert forwarding(gate.machine) == ["1", "1"]
        gate.start(with_state=False)
        gate.end()
        assert forwarding(gate.machine) == ["0", "0"]
        assert is_clear(gate.machine)


NEED = """
import sys
from wirewright.tunnel.system import shared
verb, *words = sys.argv[1:]
getattr(shared, verb)("net.ipv4.conf.all.forwarding", *words)
"""


def test_what_one_noted_that_went_without_a_word_is_what_it_was_for_the_next() -> None:
    with alone() as lab:
        machine = lab["gate"]
        machine.python(NEED, "need", "1", "gone0")
        machine.python(NEED, "need", "1", "lo")
        machine.python(NEED, "release", "lo")
        assert forwarding(machine) == ["0", "0"]


def test_what_was_left_can_be_cleared_without_a_gateway(tmp_path: Path) -> None:
    with alone() as lab:
        gate = Gate(lab, tmp_path)
        gate.start()
        clear = (sys.executable, "-m", "wirewright", "gateway", "--clear", "--interface", "wg0")
        assert "another gateway serves wg0" in gate.machine.run(*clear, check=False).stderr
        gate.crash()
        assert gate.machine.run(*clear).stderr == ""
        assert is_clear(gate.machine)
        assert forwarding(gate.machine) == ["0", "0"]
        assert "no gateway left anything on wg0" in gate.machine.run(*clear).stderr


def test_an_interface_of_others_is_left_alone(tmp_path: Path) -> None:
    with alone() as lab:
        gate = Gate(lab, tmp_path)
        gate.machine.run("wirewright-tun", "wg0")
        with pytest.raises(AssertionError, match="no gateway made it"):
            gate.start()
        assert gate.machine.run("wg", "show", "interfaces").stdout == "wg0\n"
        assert "wirewright_wg0" not in ruleset(gate.machine)


def test_two_gateways_do_not_have_one_interface(tmp_path: Path) -> None:
    with alone() as lab:
        (tmp_path / "one").mkdir()
        (tmp_path / "two").mkdir()
        first, second = (Gate(lab, tmp_path / name) for name in ("one", "two"))
        first.start()
        with pytest.raises(AssertionError, match="another gateway serves wg0"):
            second.start()
        first.put("phone", WHO)
        first.end()
        assert is_clear(first.machine)


ADVERTISE = """
import socket, struct
link = socket.if_nametoindex("eth0")
with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as router:
    router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    # RFC 4861, section 4.2: no hop limit, no flags, a lifetime of 1800 s.
    router.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 0, 0, 1800, 0, 0), ("ff02::1", 0, 0, link))
"""


def test_a_default_route_that_was_advertised_stays(tmp_path: Path) -> None:
    with Lab(topology()) as lab:
        gate = Gate(lab, tmp_path)
        shop, machine = lab["shop"], gate.machine
        link = machine.run("ip", "-o", "route", "get", SHOP[4]).stdout.split(" dev ")[1].split()[0]
        name = f"net.ipv6.conf.{link}.accept_ra"
        machine.run("sysctl", "-q", f"{name}=1")

        def has_route() -> bool:
            return "proto ra" in machine.run("ip", "-6", "route", "show", "default").stdout

        def advertised() -> bool:
            shop.python(ADVERTISE)
            return has_route()

        until(advertised, "the route is learnt", 40)
        gate.start()
        assert forwarding(machine) == ["1", "1"]
        assert has_route()
        assert machine.run("sysctl", "-n", name).stdout == "2\n"
        gate.end()
        assert has_route()
        assert machine.run("sysctl", "-n", name).stdout == "1\n"
        assert is_clear(machine)
