"""A gateway in a lab, with devices before it and a shop behind it that knows no way to them.

::

    phone  10.88.0.2 fd88::2 ─┐
                              ├─ gate 10.88.0.1 fd88::1 ── 198.51.100.0/24 2001:db8::/64 ── shop .7
    laptop 10.88.0.3 fd88::3 ─┘

Devices send to the gate through 192.0.2.0/24.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

from tests.lab.nodes import OURS, Node, until
from wirewright.gateway.instructions import (
    Device,
    GatewayState,
    Instruction,
    PutDevice,
    RemoveDevice,
    Settings,
    instruction_to_json,
)
from wirewright.gateway.policy import DEFAULT_POLICY, Policy
from wirewright.keys import PublicKey
from wirewright.lab import Lab, Link, Machine, Topology, at

PROCESS, PROBE = (str(Path(__file__).with_name(name)) for name in ("gateway_process.py", "probe.py"))
SETTINGS = Settings(
    (ip_interface("10.88.0.1/16"), ip_interface("fd88::1/64")),
    (ip_network("10.88.0.0/16"), ip_network("fd88::/64")),
)
ADDRESSES = {"phone": ("10.88.0.2", "fd88::2"), "laptop": ("10.88.0.3", "fd88::3")}
GATE = {"phone": "192.0.2.1", "laptop": "192.0.2.5"}
"""Where devices send to."""
SHOP = {4: "198.51.100.7", 6: "2001:db8::7"}
FORWARDING = ("net.ipv4.conf.all.forwarding", "net.ipv6.conf.all.forwarding")
PATIENCE = 40


def topology() -> Topology:
    return Topology(
        (
            Link(at("phone", "192.0.2.2/30"), at("gate", "192.0.2.1/30")),
            Link(at("laptop", "192.0.2.6/30"), at("gate", "192.0.2.5/30")),
            Link(
                at("shop", "198.51.100.7/24", "2001:db8::7/64"),
                at("gate", "198.51.100.1/24", "2001:db8::1/64"),
            ),
        )
    )


class Gate:
    """The gateway's process, as often as it is started, and what it is told."""

    def __init__(self, lab: Lab, folder: Path, way: str = "wirewright", **more: Any) -> None:
        """``more`` is for `engines.system`: networks as text."""
        self.lab, self.machine = lab, lab["gate"]
        self._options = {"way": way, "folder": str(folder), "more": more}
        self._errors = folder / "told"
        self.process: subprocess.Popen[str] | None = None
        self.public_key: PublicKey | None = None
        self.revision = 0
        self.devices: dict[str, Device] = {}

    @property
    def told(self) -> str:
        """What a person was told so far."""
        return self._errors.read_text()

    def start(self, *, with_state: bool = True, settings: Settings = SETTINGS) -> None:
        """Start it, and wait until it serves; without a state it has what was kept."""
        pipe = subprocess.PIPE
        with self._errors.open("a") as errors:
            words = (sys.executable, PROCESS, json.dumps(self._options))
            self.process = self.machine.popen(*words, stdin=pipe, stdout=pipe, stderr=errors, text=True)
        self.public_key = PublicKey.from_base64(self._line())
        if with_state:
            self.send(GatewayState(self.revision, settings, tuple(self.devices.values()), "log"))
        assert self._line() == "ready"
        assert self._line() == str(self.revision)

    def put(self, name: str, key: PublicKey, policy: Policy = DEFAULT_POLICY, **more: Any) -> None:
        """Put a device, and wait until the engine has it."""
        networks = tuple(ip_network(address) for address in ADDRESSES[name])
        self.devices[name] = Device(name, key, networks, policy, **more)
        self.revision += 1
        self.send(PutDevice(self.revision, self.devices[name]))
        self.wait()

    def remove(self, name: str) -> None:
        device = self.devices.pop(name)
        self.revision += 1
        self.send(RemoveDevice(self.revision, name, device.public_key))
        self.wait()

    def send(self, told: Instruction) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        print(json.dumps(instruction_to_json(told)), file=self.process.stdin, flush=True)

    def wait(self) -> None:
        """Wait until the engine has what was told."""
        while self._line() != str(self.revision):
            pass

    def _has_kept(self) -> bool:
        kept = Path(str(self._options["folder"]), "state").read_text()
        return re.search(rf'"revision": ?{self.revision}\b', kept) is not None

    def wait_until_kept(self) -> None:
        """Wait until the newest of what was told is in the state file, which is written a moment later."""
        until(self._has_kept, "it is kept", PATIENCE)

    def crash(self) -> None:
        """Kill it, so that it clears nothing up."""
        assert self.process is not None
        os.kill(process_of(self.machine, PROCESS), signal.SIGKILL)
        self.process.communicate(timeout=PATIENCE)

    def end(self) -> None:
        """Ask it to end, and wait until it has."""
        assert self.process is not None
        os.kill(process_of(self.machine, PROCESS), signal.SIGTERM)
        self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, self.told

    def _line(self) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, self.told
        return line


class Clients:
    """Interfaces of devices, and a shop that echoes."""

    def __init__(self, lab: Lab, **programs: str) -> None:
        self.lab = lab
        self.nodes = {
            name: Node(lab[name], ADDRESSES[name], program=programs.get(name, OURS)) for name in ADDRESSES
        }
        for node in self.nodes.values():
            node.start()
        pipe = subprocess.PIPE
        words = (sys.executable, PROBE, "serve")
        self.shop = lab["shop"].popen(*words, stdin=pipe, stdout=pipe, text=True)
        assert self.shop.stdout is not None
        assert self.shop.stdout.readline() == "ready\n"

    def connect(self, gate: Gate) -> None:
        """Have devices send everything to the gateway, and the gateway know them."""
        for name, node in self.nodes.items():
            # The gateway first: who is not known is answered when it asks again, 5 s later.
            gate.put(name, node.public_key)
            self.begin_anew(name, gate)
            for family in ("-4", "-6"):
                self.lab[name].run("ip", family, "route", "replace", "default", "dev", "wg0")

    def begin_anew(self, name: str, gate: Gate) -> None:
        """Have a device forget its session, which it would otherwise doubt after 15 s only."""
        self.nodes[name].setconf(
            f"[Peer]\nPublicKey = {gate.public_key}\nAllowedIPs = 0.0.0.0/0, ::/0\n"
            f"Endpoint = {GATE[name]}:51820\nPersistentKeepalive = 1\n"
        )

    def reaches(self, name: str, address: str, seconds: int = PATIENCE) -> bool:
        """Whether a ping is answered in time."""
        return self.nodes[name].reaches(address, seconds=seconds)

    def asks(self, name: str, kind: str, address: str) -> str:
        """Say whether the shop answers over TCP or UDP."""
        call = f"import runpy; probe = runpy.run_path({PROBE!r}, run_name='probe')\n"
        call += f"print(probe[{kind!r}]({address!r}, 7000, 1000, {PATIENCE}.0))"
        return self.lab[name].python(call, timeout=PATIENCE + 20).stdout.strip()


def process_of(machine: Machine, word: str) -> int:
    """Give the one process of a host that has a word in its command line."""
    lines = {each: Path(f"/proc/{each}/cmdline").read_bytes() for each in machine.processes()}
    (found,) = (each for each, line in lines.items() if word.encode() in line and b"setpriv" not in line)
    return found


def ruleset(machine: Machine) -> str:
    return machine.run("nft", "--stateless", "list", "ruleset").stdout


def forwarding(machine: Machine) -> Sequence[str]:
    return machine.run("sysctl", "-n", *FORWARDING).stdout.split()


def is_clear(machine: Machine) -> bool:
    """Whether nothing of a gateway is left on a host."""
    links = machine.run("ip", "-o", "link").stdout
    notes = machine.python(
        "from wirewright.tunnel.system import shared; print(shared.folder().exists())"
    ).stdout
    return ": wg0:" not in links and "inet wirewright_wg0 {" not in ruleset(machine) and notes == "False\n"


__all__ = [
    "GATE",
    "SHOP",
    "Clients",
    "Gate",
    "forwarding",
    "is_clear",
    "process_of",
    "ruleset",
    "topology",
    "until",
]
