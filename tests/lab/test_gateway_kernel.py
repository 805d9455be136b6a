"""A gateway on the kernel's WireGuard, in a virtual machine: nftables judges, and the kernel masquerades.

::

    a  wg0 10.88.0.2 ══ tap0 198.51.100.1 ── 198.51.100.2 guest, the gateway
       what the guest forwards ──▶ b 203.0.113.7, which knows no way to 10.88.0.0/16

The device on a sends to b through the tunnel; what comes from the guest goes there by a table of its own.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT
from tests.lab.gateways import PROBE, PROCESS, SETTINGS
from tests.lab.kernel import HERE, THERE, lab_with_guest
from tests.lab.nodes import Node, until
from wirewright.gateway.instructions import Device, GatewayState, Instruction, PutDevice, instruction_to_json
from wirewright.gateway.policy import DEFAULT_POLICY, NOTHING, Policy
from wirewright.keys import SecretKey
from wirewright.lab.initramfs import GuestError

if TYPE_CHECKING:
    from wirewright.lab import Lab
    from wirewright.lab.guest import Guest

# Python alone takes a minute to begin in an emulated machine.
pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]
OUTSIDE = {4: "203.0.113.7", 6: "2001:db8:7::7"}
BOTH = (4, 6)
INNER = ("10.88.0.2", "fd88::2")


class Gate:
    """The gateway's process in the guest, as often as it is started, and what is asked through it."""

    def __init__(self, lab: Lab, guest: Guest) -> None:
        self.lab, self.guest = lab, guest
        self.node = Node(lab["a"], INNER).start()
        self.revision = 0
        self._route()
        pipe = subprocess.PIPE
        words = (sys.executable, PROBE, "serve")
        self.echo = lab["b"].popen(*words, stdin=pipe, stdout=pipe, text=True)
        assert self.echo.stdout is not None
        assert self.echo.stdout.readline() == "ready\n"
        guest.run("mkfifo /share/run/in")
        self.start(GatewayState(0, SETTINGS, (), "log"))
        self.public_key = self.said().split()[0]

    def start(self, state: GatewayState | None = None) -> None:
        """Start it, and wait until it serves; without a state it has what was kept."""
        options = json.dumps({"way": "kernel", "folder": "/run/gateway"})
        environment = f"PYTHONPATH={ROOT / 'src'}:{ROOT}"
        line = shlex.join(("chroot", "/share", "env", environment, sys.executable, PROCESS, options))
        self.guest.run("rm -f /share/run/said")
        self.guest.run(f"{line} <>/share/run/in >/share/run/said 2>&1 & echo $! >/gateway")
        if state is not None:
            self.send(state)
        until(lambda: "ready" in self.said().split(), "it serves", 400)

    def _route(self) -> None:
        a, b = self.lab["a"], self.lab["b"]
        for family, length, near, far in (
            ("-4", 24, "192.0.2", "198.51.100.0"),
            ("-6", 64, "fd00:", "fd01::"),
        ):
            version = int(family[1])
            outside, mask = OUTSIDE[version], 32 if version == 4 else 128
            here, there = (f"{near}{'.' if version == 4 else ':'}{number}" for number in (1, 2))
            b.run("ip", "address", "add", f"{outside}/{mask}", "dev", "lo")
            # A datagram is answered from the address that it was sent to, in pieces that the tunnel takes:
            # who sends longer ones has to lose one of IPv6 to learn of it.
            way = ("via", here, "src", outside, "mtu", "1400")
            b.run("ip", family, "route", "add", f"{far}/{length}", *way)
            a.run("ip", family, "route", "add", outside, "via", there, "table", "100")
            a.run("ip", family, "rule", "add", "iif", "tap0", "table", "100")
            a.run("ip", family, "route", "add", outside, "dev", "wg0")
            a.run("sysctl", "-q", f"net.ipv{version}.conf.all.forwarding=1")
            self.guest.run(f"ip {family} route add default via {HERE[version]}")

    def put(self, policy: Policy = DEFAULT_POLICY, **more: Any) -> None:
        """Put the device, and wait until the kernel has it."""
        self.revision += 1
        self.send(PutDevice(self.revision, self.device(policy, **more)))
        self.wait()

    def device(self, policy: Policy = DEFAULT_POLICY, **more: Any) -> Device:
        networks = tuple(ip_network(address) for address in INNER)
        return Device("phone", self.node.public_key, networks, policy, **more)

    def wait(self) -> None:
        """Wait until the kernel has what was told."""
        until(lambda: str(self.revision) in self.said().split(), "it is done", 60)

    def peers(self) -> set[str]:
        return set(self.guest.run("wg show wg0 peers").split())

    def asks(self, kind: str, version: int, port: int = 7000, size: int = 100, patience: float = 40) -> str:
        """Say whether the outside answers the device over TCP or UDP."""
        call = f"import runpy; probe = runpy.run_path({PROBE!r}, run_name='probe')\n"
        call += f"print(probe[{kind!r}]({OUTSIDE[version]!r}, {port}, {size}, {patience}))"
        return self.lab["a"].python(call, timeout=patience + 20).stdout.strip()

    def asks_in_vain(self, kind: str, version: int, port: int = 7000, size: int = 100) -> bool:
        """Whether something is dropped by the firewall, and nothing comes back."""
        before = self.dropped()
        return self.asks(kind, version, port, size, 2) == "no" and self.dropped() > before

    def dropped(self) -> int:
        """How many packets nftables dropped."""
        return sum(map(int, re.findall(r"counter packets (\d+) bytes \d+ drop", self.ruleset())))

    def ruleset(self) -> str:
        nft = shutil.which("nft")
        assert nft is not None
        return self.guest.run_shared(nft, "list", "ruleset")

    def pings(self, version: int, size: int) -> bool:
        words = ("ping", "-n", "-c1", "-w40", "-s", str(size), OUTSIDE[version])
        return self.lab["a"].run(*words, check=False).returncode == 0

    def wait_until_kept(self) -> None:
        """Wait until the newest of what was told is in the state file, which is written a moment later."""
        count = f"grep -cE '\"revision\": ?{self.revision}\\b' /share/run/gateway/state || :"
        until(lambda: self.guest.run(count) not in ("", "0\n"), "it is kept", 40)

    def connect(self) -> None:
        """Have the device send to the gateway."""
        outside = ", ".join(f"{each}/{128 if ':' in each else 32}" for each in OUTSIDE.values())
        self.node.setconf(
            f"[Peer]\nPublicKey = {self.public_key}\nEndpoint = {THERE[4]}:51820\n"
            f"AllowedIPs = 10.88.0.0/16, fd88::/64, {outside}\n"
        )

    def said(self) -> str:
        try:
            return self.guest.run("cat /share/run/said")
        except GuestError:
            return ""

    def send(self, told: Instruction) -> None:
        line = shlex.quote(json.dumps(instruction_to_json(told)))
        self.guest.run(f"echo {line} >/share/run/in")

    def end(self, signal: str = "TERM") -> None:
        self.guest.run(f"kill -{signal} $(cat /gateway)")
        # Nobody may wait for it, so that its number stays.
        until(
            lambda: "gateway" not in self.guest.run("cat /proc/$(cat /gateway)/cmdline || :"), "it ends", 60
        )


def only(protocol: str, *ports: str) -> Policy:
    rule: dict[str, Any] = {"destinations": ["0.0.0.0/0", "::/0"], "protocol": protocol}
    return Policy.from_json([rule | ({"ports": ports} if ports else {})])


@pytest.fixture(scope="module")
def shared_gate() -> Iterator[Gate]:
    with lab_with_guest(share=Path("/")) as (lab, guest):
        yield Gate(lab, guest)


@pytest.fixture
def gate(shared_gate: Gate) -> Gate:
    """Give the gateway, whose device is connected and may start anything."""
    shared_gate.put()
    shared_gate.connect()
    assert shared_gate.node.reaches(OUTSIDE[4], seconds=40)
    return shared_gate


def test_a_device_reaches_the_outside_as_its_policy_says(gate: Gate) -> None:
    assert gate.node.reaches(OUTSIDE[6], seconds=40)
    gate.put(NOTHING)
    assert not gate.node.reaches(OUTSIDE[4], seconds=2)
    assert not gate.node.reaches("10.88.0.1", seconds=2)
    gate.put(Policy.from_json([{"destinations": [OUTSIDE[4]]}]))
    assert gate.node.reaches(OUTSIDE[4], seconds=10)
    assert not gate.node.reaches(OUTSIDE[6], seconds=2)
    gate.put(enabled=False)
    assert gate.peers() == set()
    gate.put()
    assert gate.peers() == {str(gate.node.public_key)}
    gate.connect()
    assert gate.node.reaches(OUTSIDE[6], seconds=40)


@pytest.mark.parametrize("version", BOTH)
def test_protocols_and_ports_of_a_policy_are_all_that_is_open(gate: Gate, version: int) -> None:
    gate.put(only("udp", "7000"))
    assert gate.asks("udp", version) == "yes"
    assert gate.asks_in_vain("udp", version, 7001)
    assert gate.asks_in_vain("tcp", version)
    assert not gate.node.reaches(OUTSIDE[version], seconds=2)
    gate.put(only("tcp", "7001"))
    assert gate.asks("tcp", version, 7001, 100_000) == "yes"
    assert gate.asks_in_vain("udp", version)
    gate.put(only("icmp"))
    assert gate.pings(version, 56)
    assert gate.asks_in_vain("tcp", version, 7001)


@pytest.mark.parametrize("version", BOTH)
def test_fragments_pass_with_what_they_are_of(gate: Gate, version: int) -> None:
    gate.put(only("udp", "7000"))
    assert gate.asks("udp", version, 7000, 5000) == "yes"
    assert gate.asks_in_vain("udp", version, 7001, 5000)
    gate.put(only("icmp"))
    assert gate.pings(version, 4000)
    assert gate.asks_in_vain("udp", version, 7000, 5000)


def test_a_device_that_expires_is_cut_and_comes_back_when_it_may(gate: Gate) -> None:
    now = int(gate.guest.run("date +%s")) * 1_000_000
    gate.put(expires=now + 6_000_000)
    assert gate.peers() == {str(gate.node.public_key)}
    until(lambda: gate.peers() == set(), "it is cut", 60)
    assert int(gate.guest.run("date +%s")) * 1_000_000 >= now + 6_000_000 - 1_000_000
    assert not gate.node.reaches(OUTSIDE[4], seconds=2)
    gate.put()
    gate.connect()
    assert gate.node.reaches(OUTSIDE[4], seconds=40)


def test_while_the_gateway_is_away_its_devices_go_on_and_it_catches_up(gate: Gate) -> None:
    other = Device("laptop", SecretKey.generate().public_key, (ip_network("10.88.0.3"),))
    gate.revision += 1
    gate.send(PutDevice(gate.revision, other))
    gate.put(only("udp", "7000"))
    gate.wait_until_kept()
    gate.end("KILL")
    both = {str(gate.node.public_key), str(other.public_key)}
    # The interface and the rules are the kernel's: nobody notices.
    assert gate.peers() == both
    assert gate.asks("udp", 4) == "yes"
    assert gate.asks_in_vain("tcp", 6)
    # The coordinator is away: what was kept is all there is, and the session goes on.
    handshakes = gate.guest.run("wg show wg0 latest-handshakes")
    gate.start()
    assert gate.peers() == both
    assert gate.guest.run("wg show wg0 latest-handshakes") == handshakes
    assert gate.asks("udp", 6) == "yes"
    assert gate.asks_in_vain("tcp", 4)
    # It is back, and has much to tell.
    gate.revision += 5
    gate.send(GatewayState(gate.revision, SETTINGS, (gate.device(only("tcp")),), "log"))
    gate.wait()
    assert gate.peers() == {str(gate.node.public_key)}
    assert gate.asks("tcp", 4) == "yes"
    assert gate.asks_in_vain("udp", 6)


def test_nothing_is_left_when_it_ends(gate: Gate) -> None:
    gate.end()
    assert "wg0" not in gate.guest.run("ip -o link")
    assert "wirewright" not in gate.ruleset()
    assert gate.guest.run("cat /proc/sys/net/ipv4/conf/all/forwarding") == "0\n"
    assert gate.guest.run("ls /share/run/wirewright 2>/dev/null || true") == ""
    assert "Traceback" not in gate.said()
