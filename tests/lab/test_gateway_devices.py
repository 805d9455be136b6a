"""One set of scenarios for all gateways and all devices: each asks for the same, and must be given the same.

The gateways: ours on a system interface with its own filter, the same with nftables in the place of that, and
one without root. The devices are those of ``devices.py``; what they are asked they are asked at once.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.lab.devices import OUTER, TAP, Client, Interface, Kernel, Rootless, addresses, topology
from tests.lab.gateways import PROBE, SHOP, Gate
from tests.lab.kernel import CACHE
from wirewright.gateway.instructions import Device, PutDevice
from wirewright.gateway.policy import DEFAULT_POLICY, NOTHING, Policy
from wirewright.lab import Lab
from wirewright.lab.guest import Guest
from wirewright.lab.initramfs import build
from wirewright.lab.machine import entering

pytestmark = pytest.mark.timeout(300)

# What nftables lets through is tested among the firewalls too.
WAYS = ("wirewright", "rootless", pytest.param("nftables", marks=pytest.mark.slow))
PATIENCE = 40.0
"""Seconds for what must come."""
SILENCE = 1.0
"""Seconds without an answer where none may come."""
BOTH = (4, 6)


class Site:
    """The devices, and the gateway that there is for now."""

    def __init__(self, lab: Lab, clients: Iterable[Client]) -> None:
        self.lab = lab
        self.clients = {client.name: client for client in clients}
        self._threads = ThreadPoolExecutor(len(self.clients))
        self.gate: Gate

    def serve(self, folder: Path, way: str) -> None:
        """Have a gateway, and all devices connected with it."""
        self.gate = Gate(self.lab, folder, way)
        self.gate.start()
        self.put(DEFAULT_POLICY)
        self.connect()

    def connect(self) -> None:
        key = self.gate.public_key
        assert key is not None
        for client in self.clients.values():
            client.connect(key)

    def put(self, policy: Policy, names: Iterable[str] = (), **more: Any) -> None:
        """Put devices, all unless they are named, and wait until the engine has them."""
        for name in names or self.clients:
            networks = tuple(ip_network(address) for address in addresses(name))
            device = Device(name, self.clients[name].public_key, networks, policy, **more)
            self.gate.devices[name] = device
            self.gate.revision += 1
            self.gate.send(PutDevice(self.gate.revision, device))
        self.gate.wait()

    def each(self, question: Callable[[Client], bool], *but: str) -> dict[str, bool]:
        """Ask all devices at once; give their answers."""
        asked = [client for name, client in self.clients.items() if name not in but]
        return dict(zip([each.name for each in asked], self._threads.map(question, asked), strict=True))

    def reach(self, kind: str, version: int, port: int = 7000) -> bool:
        """Whether all devices are answered by the shop."""
        said = self.each(lambda client: client.asks(kind, SHOP[version], port, PATIENCE))
        return all(said.values()) or bool(pytest.fail(f"{kind}, IPv{version}: {said}"))

    def reach_in_vain(self, kind: str, version: int, port: int = 7000) -> bool:
        """Whether no device is answered by the shop."""
        return not any(self.each(lambda each: each.asks(kind, SHOP[version], port, SILENCE)).values())

    def ping(self, version: int, size: int = 56) -> bool:
        """Whether all devices are, where long ones are cut into fragments."""
        but = [name for name, client in self.clients.items() if size > 1300 and not client.has_stack]
        said = self.each(lambda client: client.pings(SHOP[version], size, PATIENCE), *but)
        return all(said.values()) or bool(pytest.fail(f"ping, {size} bytes, IPv{version}: {said}"))

    def ping_in_vain(self, version: int) -> bool:
        return not any(self.each(lambda client: client.pings(SHOP[version], 56, SILENCE)).values())


@pytest.fixture(scope="module")
def everything(wireguard_go: Path) -> Iterator[Site]:
    image = build(CACHE)
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(topology()))
        gate = lab["gate"]
        gate.run("ip", "tuntap", "add", TAP, "mode", "tap")
        gate.run("ip", "address", "add", f"192.0.2.{OUTER['guest']}/30", "dev", TAP)
        gate.run("ip", "link", "set", TAP, "up")
        gate.run("sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
        guest = stack.enter_context(Guest(image, TAP, entering(gate.holder, ())))
        pipe = subprocess.PIPE
        shop = lab["shop"].popen(sys.executable, PROBE, "serve", stdin=pipe, stdout=pipe, text=True)
        assert shop.stdout is not None
        assert shop.stdout.readline() == "ready\n"
        phone = Interface(lab, "phone", str(wireguard_go))
        yield Site(lab, (phone, Interface(lab, "laptop"), Kernel(guest), Rootless(lab)))


@pytest.fixture(scope="module", params=WAYS)
def served(
    everything: Site, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    everything.serve(tmp_path_factory.mktemp(request.param), request.param)
    yield everything
    everything.gate.end()


@pytest.fixture
def site(served: Site) -> Site:
    """Give the gateway, whose devices may start anything."""
    served.put(DEFAULT_POLICY)
    return served


def only(protocol: str, *ports: str) -> Policy:
    rule: dict[str, Any] = {"destinations": ["0.0.0.0/0", "::/0"], "protocol": protocol}
    return Policy.from_json([rule | ({"ports": ports} if ports else {})])


@pytest.mark.parametrize("version", BOTH)
def test_every_device_reaches_the_outside_by_tcp_udp_and_ping(site: Site, version: int) -> None:
    assert site.reach("tcp", version)
    assert site.reach("udp", version)
    assert site.ping(version)


@pytest.mark.parametrize("version", BOTH)
def test_what_is_longer_than_the_way_is_wide_passes_in_fragments(site: Site, version: int) -> None:
    assert site.ping(version, 4000)


def test_protocols_and_ports_of_a_policy_are_all_that_is_open(site: Site) -> None:
    site.put(only("tcp", "7001"))
    assert site.reach("tcp", 4, 7001)
    assert site.reach("tcp", 6, 7001)
    assert site.reach_in_vain("tcp", 4)
    assert site.reach_in_vain("udp", 6, 7001)
    assert site.ping_in_vain(4)
    site.put(only("udp", "7000"))
    assert site.reach("udp", 4)
    assert site.reach("udp", 6)
    assert site.reach_in_vain("udp", 4, 7001)
    site.put(only("icmp"))
    assert site.ping(4, 4000)
    assert site.ping(6, 4000)
    assert site.reach_in_vain("tcp", 6, 7001)


def test_devices_are_kept_apart_until_a_policy_opens_one(site: Site) -> None:
    others = [name for name in site.clients if name != "laptop"]

    def asked(kind: str, version: int, seconds: float) -> set[bool]:
        laptop = addresses("laptop")[version == 6]
        return set(site.each(lambda client: client.asks(kind, laptop, 7000, seconds), "laptop").values())

    assert asked("tcp", 4, SILENCE) == {False}
    assert asked("udp", 6, SILENCE) == {False}
    site.put(Policy.from_json([{"destinations": list(addresses("laptop"))}]), others)
    for version in BOTH:
        assert asked("tcp", version, PATIENCE) == {True}
        assert asked("udp", version, PATIENCE) == {True}


def test_a_device_that_may_start_nothing_starts_nothing(site: Site) -> None:
    site.put(NOTHING)
    assert site.reach_in_vain("udp", 4)
    assert site.ping_in_vain(6)


@pytest.mark.slow
def test_devices_that_expire_or_are_disabled_are_cut_and_come_back(site: Site) -> None:
    assert site.reach("udp", 4)
    site.put(DEFAULT_POLICY, ["phone", "guest"], enabled=False)
    end = time.time_ns() // 1000 + 1_000_000
    site.put(DEFAULT_POLICY, ["laptop", "notebook"], expires=end)
    while time.time_ns() // 1000 < end + 500_000:
        time.sleep(0.1)
    assert site.reach_in_vain("udp", 4)
    site.put(DEFAULT_POLICY)
    site.connect()
    assert site.reach("udp", 4)


def test_a_gateway_that_is_killed_serves_the_same_devices_when_it_is_back(site: Site) -> None:
    site.put(only("udp"))
    site.gate.wait_until_kept()
    site.gate.crash()
    # The coordinator is away: what the gateway kept is all there is.
    site.gate.start(with_state=False)
    site.connect()
    assert site.reach("udp", 4)
    assert site.reach("udp", 6)
    assert site.reach_in_vain("tcp", 4)
