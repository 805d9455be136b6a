"""A gateway on the kernel's WireGuard, in a virtual machine: nftables judges, and the kernel masquerades.

::

    a  wg0 10.88.0.2 ══ tap0 198.51.100.1 ── 198.51.100.2 guest, the gateway
       what the guest forwards ──▶ b 203.0.113.7, which knows no way to 10.88.0.0/16

The device on a sends to b through the tunnel; what comes from the guest goes there by a table of its own.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT
from tests.lab.gateways import PROCESS, SETTINGS
from tests.lab.kernel import HERE, THERE, lab_with_guest
from tests.lab.nodes import Node, until
from wirewright.gateway.instructions import Device, GatewayState, Instruction, PutDevice, instruction_to_json
from wirewright.gateway.policy import DEFAULT_POLICY, NOTHING, Policy
from wirewright.lab.initramfs import GuestError

if TYPE_CHECKING:
    from wirewright.lab import Lab
    from wirewright.lab.guest import Guest

# Python alone takes a minute to begin in an emulated machine.
pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]
OUTSIDE = {4: "203.0.113.7", 6: "2001:db8:7::7"}
INNER = ("10.88.0.2", "fd88::2")


class Gate:
    """The gateway's process in the guest."""

    def __init__(self, lab: Lab, guest: Guest) -> None:
        self.lab, self.guest = lab, guest
        self.node = Node(lab["a"], INNER).start()
        self.revision = 0
        self._route()
        guest.run("mkfifo /share/run/in")
        options = json.dumps({"way": "kernel", "folder": "/run/gateway"})
        environment = f"PYTHONPATH={ROOT / 'src'}:{ROOT}"
        line = shlex.join(("chroot", "/share", "env", environment, sys.executable, PROCESS, options))
        guest.run(f"{line} <>/share/run/in >/share/run/said 2>&1 & echo $! >/gateway")
        self._send(GatewayState(0, SETTINGS, (), "log"))
        until(lambda: "ready" in self.said().split(), "it serves", 400)
        self.public_key = self.said().split()[0]

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
            b.run("ip", family, "route", "add", f"{far}/{length}", "via", here)
            a.run("ip", family, "route", "add", outside, "via", there, "table", "100")
            a.run("ip", family, "rule", "add", "iif", "tap0", "table", "100")
            a.run("ip", family, "route", "add", outside, "dev", "wg0")
            a.run("sysctl", "-q", f"net.ipv{version}.conf.all.forwarding=1")
            self.guest.run(f"ip {family} route add default via {HERE[version]}")

    def put(self, policy: Policy = DEFAULT_POLICY, *, enabled: bool = True) -> None:
        """Put the device, and wait until the kernel has it."""
        networks = tuple(ip_network(address) for address in INNER)
        self.revision += 1
        device = Device("phone", self.node.public_key, networks, policy, enabled=enabled)
        self._send(PutDevice(self.revision, device))
        until(lambda: str(self.revision) in self.said().split(), "it is done", 60)

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

    def _send(self, told: Instruction) -> None:
        line = shlex.quote(json.dumps(instruction_to_json(told)))
        self.guest.run(f"echo {line} >/share/run/in")

    def end(self) -> None:
        self.guest.run("kill $(cat /gateway)")
        # Nobody may wait for it, so that its number stays.
        until(
            lambda: "gateway" not in self.guest.run("cat /proc/$(cat /gateway)/cmdline || :"), "it ends", 60
        )


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    with lab_with_guest(share=Path("/")) as (lab, guest):
        yield Gate(lab, guest)


def test_a_device_reaches_the_outside_as_its_policy_says_and_nothing_is_left(gate: Gate) -> None:
    gate.put()
    gate.connect()
    assert gate.node.reaches(OUTSIDE[4], seconds=40)
    assert gate.node.reaches(OUTSIDE[6], seconds=40)
    gate.put(NOTHING)
    assert not gate.node.reaches(OUTSIDE[4], seconds=2)
    assert not gate.node.reaches("10.88.0.1", seconds=2)
    gate.put(Policy.from_json([{"destinations": [OUTSIDE[4]]}]))
    assert gate.node.reaches(OUTSIDE[4], seconds=10)
    assert not gate.node.reaches(OUTSIDE[6], seconds=2)
    gate.put(enabled=False)
    assert gate.guest.run("wg show wg0 peers") == ""
    gate.put()
    assert str(gate.node.public_key) in gate.guest.run("wg show wg0 peers")
    gate.connect()
    assert gate.node.reaches(OUTSIDE[6], seconds=40)
    gate.end()
    assert "wg0" not in gate.guest.run("ip -o link")
    assert gate.guest.run("cat /proc/sys/net/ipv4/conf/all/forwarding") == "0\n"
    assert gate.guest.run("ls /share/run/wirewright 2>/dev/null || true") == ""
    assert "Traceback" not in gate.said()
