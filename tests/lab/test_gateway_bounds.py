"""What a coordinator cannot do to a gateway's host, whatever it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.lab.gateways import (
    GATE,
    SHOP,
    Clients,
    Gate,
    forwarding,
    is_clear,
    ruleset,
    topology,
    until,
)
from tests.lab.test_gateway_firewall import OTHERS
from wirewright.gateway.instructions import GatewayState, Settings
from wirewright.lab import Lab

TAKEN = Settings((ip_interface("198.51.100.20/25"),), (ip_network("198.51.100.0/25"),))
"""Half of a network that the host has."""
METADATA = "169.254.169.254"
TRANSLATED, TRANSLATED_ELSE = "64:ff9b::a9fe:a9fe", "64:ff9b::c633:6407"
OWN = "10.88.0.1"
HOST = ("198.51.100.1", "192.0.2.5", "2001:db8::1")
"""Addresses of the host outside of the tunnel."""
PINGS = ("icmp", "icmpv6")


def way_to_shop(gate: Gate) -> str:
    """Give the name of the interface by which the host reaches its own network."""
    return gate.machine.run("ip", "-o", "route", "get", SHOP[4]).stdout.split(" dev ")[1].split()[0]


def test_a_pool_that_is_a_network_of_the_host_is_refused_in_words_and_what_was_stays(tmp_path: Path) -> None:
    with Lab(topology()) as lab:
        gate = Gate(lab, tmp_path)
        lan = way_to_shop(gate)
        gate.start()
        gate.revision += 1
        gate.send(GatewayState(gate.revision, TAKEN, (), "log"))
        until(lambda: f"198.51.100.0/24 on {lan}" in gate.told, "it is told", 40)
        assert "allow it by --pool 198.51.100.0/25" in gate.told
        assert way_to_shop(gate) == lan
        assert "10.88.0.1/16" in gate.machine.run("ip", "address", "show", "dev", "wg0").stdout
        # It is kept, and the next start waits for something better.
        gate.crash()
        gate.revision += 1
        gate.start()
        assert gate.told.count("198.51.100.0/24 on") <= 2
        gate.end()
        assert is_clear(gate.machine)


def test_an_operator_may_allow_a_pool_that_is_a_network_of_the_host_and_none_beside(tmp_path: Path) -> None:
    with Lab(topology()) as lab:
        gate = Gate(lab, tmp_path, pools=["198.51.100.0/25"])
        with pytest.raises(AssertionError, match=r"the pool 10.88.0.0/16, which lies in none"):
            gate.start()
        (tmp_path / "state").unlink(missing_ok=True)
        gate.start(settings=TAKEN)
        assert "198.51.100.20/25" in gate.machine.run("ip", "address", "show", "dev", "wg0").stdout
        gate.end()
        assert is_clear(gate.machine)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(topology()) as lab:
        shop, gate = lab["shop"], lab["gate"]
        shop.run("ip", "address", "add", f"{METADATA}/32", "dev", "lo")
        link = gate.run("ip", "-o", "route", "get", SHOP[4]).stdout.split(" dev ")[1].split()[0]
        gate.run("ip", "route", "add", "169.254.0.0/16", "dev", link)
        # As a translator behind the host.
        shop.run("ip", "address", "add", f"{TRANSLATED}/128", "dev", "lo")
        shop.run("ip", "address", "add", f"{TRANSLATED_ELSE}/128", "dev", "lo")
        gate.run("ip", "route", "add", "64:ff9b::/96", "via", SHOP[6])
        yield lab


@pytest.fixture(scope="module")
def clients(lab: Lab, wireguard_go: Path) -> Clients:
    return Clients(lab, phone=str(wireguard_go))


@contextmanager
def gateway(
    lab: Lab, clients: Clients, folder: Path, way: str, **more: Any
) -> Iterator[Callable[[str], bool]]:
    """Run a gateway; give what says whether the phone reaches an address through it."""
    gate = Gate(lab, folder, way, **more)
    gate.start()
    clients.connect(gate)
    assert clients.reaches("phone", OWN), "the tunnel is there"

    def reaches(address: str) -> bool:
        return clients.reaches("phone", address, 1)

    try:
        yield reaches
    finally:
        gate.end()
    assert is_clear(gate.machine)


@pytest.mark.parametrize("way", ["wirewright", "nftables"])
def test_everything_means_neither_the_host_nor_what_is_special(
    lab: Lab, clients: Clients, tmp_path: Path, way: str
) -> None:
    with gateway(lab, clients, tmp_path, way) as reaches:
        for address in (*SHOP.values(), TRANSLATED_ELSE, "fd88::1"):
            assert reaches(address), address
        for address in (METADATA, TRANSLATED, *HOST, "198.51.100.255"):
            assert not reaches(address), address


@pytest.mark.parametrize("way", ["wirewright", "nftables"])
def test_an_operator_opens_the_host_and_what_is_special_by_name(
    lab: Lab, clients: Clients, tmp_path: Path, way: str
) -> None:
    reach = ["0.0.0.0/0", "::/0", "169.254.169.254/32"]
    with gateway(lab, clients, tmp_path, way, reach=reach, reach_host=True) as reaches:
        for address in (*SHOP.values(), METADATA, TRANSLATED, *HOST):
            assert reaches(address), address


@pytest.mark.parametrize("way", ["wirewright", "nftables"])
def test_an_operator_bounds_what_devices_reach_whatever_their_policies(
    lab: Lab, clients: Clients, tmp_path: Path, way: str
) -> None:
    with gateway(lab, clients, tmp_path, way, reach=["198.51.100.0/29", "192.0.2.1/32"]) as reaches:
        for address in (SHOP[4], "192.0.2.1"):
            assert reaches(address), address
        for address in (SHOP[6], METADATA, "198.51.100.1", "192.0.2.5"):
            assert not reaches(address), address


FLOOD = """
import socket
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(1200):
    try:
        sender.sendto(b"", ("198.51.100.7", 10_000 + number))
    except OSError:
        pass
"""


def test_a_device_has_its_part_of_the_hosts_connections_and_no_more(
    lab: Lab, clients: Clients, tmp_path: Path
) -> None:
    with gateway(lab, clients, tmp_path, "nftables", MOST_FLOWS=100) as reaches:

        def is_full() -> bool:
            lab["phone"].python(FLOOD)
            assert clients.reaches("phone", SHOP[6]), (
                "the tunnel carries again; the other family has its own part"
            )
            return not reaches(SHOP[4])

        until(is_full, "the phone has all the flows that it may have", 60)
        count = int(lab["gate"].run("cat", "/proc/sys/net/netfilter/nf_conntrack_count").stdout)
        assert count < 300
        # The other device is not concerned, though both have the same policy.
        assert clients.reaches("laptop", SHOP[4])
        shown = lab["gate"].run("nft", "list", "ruleset").stdout
        assert "10.88.0.2 ct count 100" in shown
        lab["gate"].run("nft", "--check", "-f", "-", input=shown)


def test_where_no_more_addresses_can_be_counted_one_that_is_not_begins_nothing(
    lab: Lab, clients: Clients, tmp_path: Path
) -> None:
    # A ping is a flow for as long as the test takes.
    lab["gate"].run("sysctl", "-q", *(f"net.netfilter.nf_conntrack_{name}_timeout=600" for name in PINGS))
    with gateway(lab, clients, tmp_path, "nftables", MOST_COUNTED=1) as reaches:
        assert reaches(SHOP[4])
        assert not clients.reaches("laptop", SHOP[4], 1)
        # Families are counted apart, and who is counted goes on.
        assert clients.reaches("laptop", SHOP[6])
        assert not reaches(SHOP[6])
        assert reaches("192.0.2.1")


def test_neighbours_on_the_networks_of_the_host_stay_apart(tmp_path: Path) -> None:
    with Lab(topology()) as lab:
        lab["shop"].run("ip", "route", "add", "192.0.2.0/29", "via", "198.51.100.1")
        for name, gate_address in GATE.items():
            lab[name].run("ip", "route", "add", "198.51.100.0/24", "via", gate_address)
        gate = Gate(lab, tmp_path)
        gate.start()

        def reaches(source: str, address: str) -> bool:
            return not lab[source].run("ping", "-c1", "-W1", address, check=False).returncode

        assert forwarding(gate.machine) == ["1", "1"]
        assert reaches("shop", "192.0.2.1"), "the host itself"
        assert not reaches("shop", "192.0.2.2")
        assert not reaches("phone", SHOP[4])
        gate.crash()
        gate.start(with_state=False)
        assert not reaches("phone", SHOP[4])
        gate.end()
        assert is_clear(gate.machine)
        # Where the host forwards anyway, it goes on.
        gate.machine.run("sysctl", "-q", "net.ipv4.conf.all.forwarding=1")
        gate.start()
        assert reaches("phone", SHOP[4])
        gate.end()
        assert forwarding(gate.machine) == ["1", "0"]


def test_who_begins_to_forward_later_is_not_hindered(tmp_path: Path) -> None:
    with Lab(topology()) as lab:
        gate = Gate(lab, tmp_path)
        gate.start()
        assert "chain apart" in ruleset(gate.machine)
        gate.machine.run("nft", "-f", "-", input=OTHERS)
        gate.crash()
        gate.start(with_state=False)
        assert "chain apart" not in ruleset(gate.machine)
        gate.end()
