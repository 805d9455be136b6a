"""What devices of a gateway may start and who reaches them, by our engine's filter and by nftables alike.

::

    phone  10.88.0.2 fd88::2 ─┐
                              ├─ gate 10.88.0.1 fd88::1 ── 198.51.100.0/24 2001:db8::/64 ── shop .7
    laptop 10.88.0.3 fd88::3 ─┘

The way from the gateway to the shop is narrower than the tunnel.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.lab.nodes import Node, peer_section
from wirewright.gateway.policy import DEFAULT_POLICY
from wirewright.lab import Lab, Link, Topology, at

GATE, PROBE = (str(Path(__file__).with_name(name)) for name in ("gate.py", "probe.py"))
ADDRESSES = {
    "gate": ("10.88.0.1", "fd88::1"),
    "phone": ("10.88.0.2", "fd88::2"),
    "laptop": ("10.88.0.3", "fd88::3"),
    "shop": ("198.51.100.7", "2001:db8::7"),
}
ROUTER = ("198.51.100.1", "2001:db8::1")
DEVICES = {"phone": "192.0.2.2", "laptop": "192.0.2.6"}
NARROW = 1300
WORLD = DEFAULT_POLICY.to_json()
BOTH = (4, 6)
PATIENCE = 20
"""Seconds for what must come."""
SILENCE = 0.7
"""Seconds without an answer, where a counter tells besides that none can come."""


def topology() -> Topology:
    links = (
        Link(at("phone", "192.0.2.2/30"), at("gate", "192.0.2.1/30")),
        Link(at("laptop", "192.0.2.6/30"), at("gate", "192.0.2.5/30")),
        Link(
            at("shop", "198.51.100.7/24", "2001:db8::7/64"),
            at("gate", "198.51.100.1/24", "2001:db8::1/64"),
            mtu=NARROW,
        ),
    )
    return Topology(links)


class Gateway:
    """The lab, the gateway's process in it, and what can be asked."""

    def __init__(self, lab: Lab, way: str) -> None:
        self.lab = lab
        self.way = way
        self.nodes = {
            name: Node(lab[name], addresses) for name, addresses in ADDRESSES.items() if name != "shop"
        }
        gate = self.nodes["gate"].start()
        devices = {name: self.nodes[name].start() for name in DEVICES}
        gate.setconf(*(peer_section(node) for node in devices.values()))
        for name, outer in DEVICES.items():
            ours = outer[:-1] + str(int(outer[-1]) - 1)
            section = peer_section(gate, endpoint=ours, allowed=["0.0.0.0/0", "::/0"], keepalive=25)
            devices[name].setconf(section)
            for family in BOTH:
                lab[name].run("ip", f"-{family}", "route", "add", "default", "dev", "wg0")
        for network, router in zip(("10.88.0.0/16", "fd88::/64"), ROUTER, strict=True):
            lab["shop"].run("ip", "route", "add", network, "via", router)
        facts = {name: [str(node.public_key), *ADDRESSES[name]] for name, node in devices.items()}
        pipe = subprocess.PIPE
        words = (sys.executable, GATE, way, json.dumps(facts))
        self._process = lab["gate"].popen(*words, stdin=pipe, stdout=pipe, text=True)
        self._expect("ready")
        self.probers = {name: self.start(name, "serve") for name in ADDRESSES}

    def close(self) -> None:
        """End, and see that nothing is left in the gateway."""
        self._process.communicate(timeout=PATIENCE)
        assert self._process.returncode == 0
        assert self.lab["gate"].run("nft", "list", "ruleset").stdout == ""
        for prober in self.probers.values():
            prober.kill()
            prober.communicate()

    def put(self, policies: Mapping[str, Any]) -> None:
        """Give devices their policies, and see them in force."""
        assert self._process.stdin is not None
        print(json.dumps(dict(policies)), file=self._process.stdin, flush=True)
        self._expect("done")

    def _expect(self, word: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"{word}\n"

    def start(self, name: str, *words: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        process = self.lab[name].popen(sys.executable, PROBE, *words, stdin=pipe, stdout=pipe, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def ask(self, name: str, kind: str, to: str, port: int = 7000, **options: Any) -> str:
        """Ask over TCP or UDP: yes, no, or refused."""
        size, patience = options.get("size", 100), options.get("patience", PATIENCE)
        more = [options.get("source", ""), options.get("extension", "")] if kind == "udp" else []
        prober = self.probers[name]
        assert prober.stdin is not None
        assert prober.stdout is not None
        print(json.dumps([kind, to, port, size, patience, *more]), file=prober.stdin, flush=True)
        return prober.stdout.readline().strip()

    def asks_in_vain(self, name: str, kind: str, to: str, port: int = 7000, **options: Any) -> bool:
        """Whether something is dropped, and counted as such, and nothing comes back."""
        before = self.dropped()
        said = self.ask(name, kind, to, port, patience=SILENCE, **options)
        return said == "no" and self.dropped() > before

    def pings(self, name: str, to: str, *words: str, seconds: int = PATIENCE) -> bool:
        command = ("ping", "-n", "-c1", "-w", str(seconds), *words, to)
        return self.lab[name].run(*command, check=False).returncode == 0

    def pings_in_vain(self, name: str, to: str) -> bool:
        before = self.dropped()
        return not self.pings(name, to, seconds=1) and self.dropped() > before

    def dropped(self) -> int:
        """How many packets the firewall dropped."""
        listed = json.loads(self.lab["gate"].run("nft", "--json", "list", "ruleset").stdout)["nftables"]
        rules = [item["rule"]["expr"] for item in listed if "rule" in item]
        drops = [rule for rule in rules if any("drop" in expression for expression in rule)]
        count: int = sum(
            expression["counter"]["packets"]
            for rule in drops
            for expression in rule
            if "counter" in expression
        )
        if self.way == "engine":
            counters = self.nodes["gate"].counters()
            count += sum(number for name, number in counters.items() if name.startswith("filter_"))
        return count


@pytest.fixture(scope="module", params=["engine", "engine with four threads", "nftables", "nftables by maps"])
def shared_gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    way, _, more = request.param.partition(" with ")
    with Lab(topology()) as lab, pytest.MonkeyPatch.context() as patch:
        if more:
            patch.setattr(Node, "shards", 4)
        gateway = Gateway(lab, way)
        yield gateway
        gateway.close()


@pytest.fixture
def gateway(shared_gateway: Gateway) -> Gateway:
    """Give a gateway whose devices may start nothing."""
    shared_gateway.put({"phone": [], "laptop": []})
    return shared_gateway


def address(name: str, version: int) -> str:
    return ADDRESSES[name][version == 6]


def rule(*destinations: str, protocol: str = "any", ports: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"destinations": destinations, "protocol": protocol, "ports": ports}


@pytest.mark.parametrize("version", BOTH)
def test_a_device_reaches_what_its_policy_opens_and_is_answered(gateway: Gateway, version: int) -> None:
    shop = address("shop", version)
    assert gateway.asks_in_vain("phone", "udp", shop)
    assert gateway.asks_in_vain("phone", "tcp", shop)
    assert gateway.pings_in_vain("phone", shop)
    gateway.put({"phone": WORLD})
    assert gateway.ask("phone", "udp", shop) == "yes"
    assert gateway.ask("phone", "tcp", shop, size=200_000) == "yes"
    assert gateway.pings("phone", shop)
    assert gateway.asks_in_vain("laptop", "udp", shop)


@pytest.mark.parametrize("version", BOTH)
def test_only_protocols_and_ports_of_a_rule_are_open(gateway: Gateway, version: int) -> None:
    shop, network = address("shop", version), ("198.51.100.0/24", "2001:db8::/32")[version == 6]
    gateway.put(
        {
            "phone": [
                rule(network, protocol="tcp", ports=("7001-7005",)),
                rule(network, protocol="udp", ports=("7000",)),
            ]
        }
    )
    assert gateway.ask("phone", "tcp", shop, 7001) == "yes"
    assert gateway.asks_in_vain("phone", "tcp", shop, 7000)
    assert gateway.ask("phone", "udp", shop, 7000) == "yes"
    assert gateway.asks_in_vain("phone", "udp", shop, 7001)
    assert gateway.pings_in_vain("phone", shop)
    gateway.put({"phone": [rule(network, protocol="icmp")]})
    assert gateway.pings("phone", shop)
    assert gateway.asks_in_vain("phone", "udp", shop, 7000)


@pytest.mark.parametrize("version", BOTH)
def test_fragments_pass_with_what_they_are_of(gateway: Gateway, version: int) -> None:
    shop = address("shop", version)
    gateway.put({"phone": [rule("0.0.0.0/0", "::/0", protocol="udp", ports=("7000",))]})
    assert gateway.ask("phone", "udp", shop, 7000, size=5000) == "yes"
    assert gateway.asks_in_vain("phone", "udp", shop, 7001, size=5000)
    gateway.put({"phone": [rule("0.0.0.0/0", "::/0", protocol="icmp")]})
    assert gateway.pings("phone", shop, "-s", "4000")


@pytest.mark.parametrize("extension", ["hop-by-hop", "destination", "both"])
def test_extension_headers_hide_nothing_and_hinder_nothing(gateway: Gateway, extension: str) -> None:
    shop = address("shop", 6)
    gateway.put({"phone": [rule("::/0", protocol="udp", ports=("7000",))]})
    assert gateway.ask("phone", "udp", shop, 7000, extension=extension) == "yes"
    assert gateway.asks_in_vain("phone", "udp", shop, 7001, extension=extension)


@pytest.mark.parametrize("version", BOTH)
def test_nobody_reaches_a_device_unasked(gateway: Gateway, version: int) -> None:
    gateway.put({"phone": WORLD, "laptop": WORLD})
    phone, laptop, shop = (address(name, version) for name in ("phone", "laptop", "shop"))
    assert gateway.asks_in_vain("shop", "udp", phone)
    assert gateway.asks_in_vain("shop", "tcp", phone)
    assert gateway.pings_in_vain("shop", phone)
    assert gateway.ask("phone", "udp", shop) == "yes"
    assert gateway.asks_in_vain("shop", "udp", phone)
    assert gateway.asks_in_vain("laptop", "udp", phone)
    assert gateway.asks_in_vain("phone", "tcp", laptop)


@pytest.mark.parametrize("version", BOTH)
def test_nobody_outside_passes_for_a_device_or_for_the_gateway(gateway: Gateway, version: int) -> None:
    pool = ("10.88.0.0/16", "fd88::/64")[version == 6]
    gateway.put({"phone": [rule(pool)], "laptop": [rule(pool)]})
    shop, phone = gateway.lab["shop"], address("phone", version)
    length = 128 if version == 6 else 32
    for forged in (address("laptop", version), address("gate", version)):
        shop.run(
            "ip", "address", "add", f"{forged}/{length}", "dev", "lo", *(("nodad",) if version == 6 else ())
        )
        before = gateway.dropped()
        said = gateway.ask("shop", "udp", phone, patience=SILENCE, source=forged)
        shop.run("ip", "address", "del", f"{forged}/{length}", "dev", "lo")
        # IPv4's own check of sources may have been quicker.
        assert said == "no"
        assert version == 4 or gateway.dropped() > before


@pytest.mark.parametrize("version", BOTH)
def test_devices_reach_each_other_only_where_a_policy_says_so(gateway: Gateway, version: int) -> None:
    phone, laptop = address("phone", version), address("laptop", version)
    gateway.put({"phone": WORLD, "laptop": WORLD})
    for kind in ("udp", "tcp"):
        assert gateway.asks_in_vain("phone", kind, laptop)
    length = 128 if version == 6 else 32
    gateway.put(
        {
            "phone": [
                *WORLD,
                rule(f"{laptop}/{length}", protocol="tcp", ports=("7000",)),
                rule(f"{laptop}/{length}", protocol="icmp"),
            ]
        }
    )
    assert gateway.ask("phone", "tcp", laptop) == "yes"
    assert gateway.pings("phone", laptop)
    assert gateway.asks_in_vain("phone", "udp", laptop)
    assert gateway.asks_in_vain("laptop", "tcp", phone)
    assert gateway.pings_in_vain("laptop", phone)


@pytest.mark.parametrize("version", BOTH)
def test_the_gateway_reaches_devices_and_they_reach_it_by_their_policies(
    gateway: Gateway, version: int
) -> None:
    phone, gate = address("phone", version), address("gate", version)
    for kind in ("udp", "tcp"):
        assert gateway.ask("gate", kind, phone) == "yes"
        assert gateway.asks_in_vain("phone", kind, gate)
    assert gateway.pings("gate", phone)
    gateway.put({"phone": WORLD, "laptop": [rule(address("shop", version))]})
    for kind in ("udp", "tcp"):
        assert gateway.ask("phone", kind, gate) == "yes"
    assert gateway.pings("phone", gate)
    assert gateway.asks_in_vain("laptop", "udp", gate)


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("to", ["shop", "laptop"])
def test_a_flow_that_is_allowed_no_longer_ends_at_once(gateway: Gateway, kind: str, to: str) -> None:
    allowed = {"phone": [*WORLD, rule("10.88.0.0/16")]}
    gateway.put(allowed)
    talk = gateway.start("phone", "talk", kind, address(to, 4), "7000")
    assert talk.stdin is not None
    assert talk.stdout is not None

    def answered(patience: float) -> bool:
        assert talk.stdin is not None
        assert talk.stdout is not None
        print(patience, file=talk.stdin, flush=True)
        return talk.stdout.readline() == "yes\n"

    assert answered(PATIENCE)
    before = gateway.dropped()
    gateway.put({"phone": [rule("203.0.113.0/24")]})
    assert not answered(SILENCE)
    assert gateway.dropped() > before
    # A connection that waits goes on when it may again.
    gateway.put(allowed)
    assert answered(PATIENCE)
    talk.kill()
    talk.communicate()


@pytest.mark.parametrize("version", BOTH)
def test_errors_about_a_flow_reach_who_began_it(gateway: Gateway, version: int) -> None:
    gateway.put({"phone": [*WORLD, rule("10.88.0.3/32", "fd88::3/128")]})
    for name in ("shop", "laptop"):
        assert gateway.ask("phone", "udp", address(name, version), 7009) == "refused"


@pytest.mark.parametrize("version", BOTH)
def test_a_device_learns_that_a_path_is_narrower(gateway: Gateway, version: int) -> None:
    gateway.put({"phone": WORLD})
    shop = address("shop", version)
    gateway.lab["phone"].run("ip", f"-{version}", "route", "flush", "cache")
    said = gateway.lab["phone"].run(
        "ping", "-n", "-M", "do", "-c1", "-w", str(PATIENCE), "-s", "1350", shop, check=False
    )
    assert str(NARROW) in said.stdout + said.stderr, said
