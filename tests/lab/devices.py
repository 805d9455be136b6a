"""Devices of a gateway in a lab, whatever their tunnel is: a program's, the kernel's, or a rootless one.

::

    phone     10.88.0.2 fd88::2  wireguard-go          192.0.2.2 ─┐
    laptop    10.88.0.3 fd88::3  our interface         192.0.2.6 ─┤
    guest     10.88.0.4 fd88::4  the kernel's, in QEMU 192.0.2.10 ┼─ gate ── shop 198.51.100.7 2001:db8::7
    notebook  10.88.0.5 fd88::5  our rootless tunnel   192.0.2.14 ┘
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tests.lab.gateways import PROBE
from tests.lab.nodes import OURS, Node
from wirewright.keys import PublicKey, SecretKey
from wirewright.lab import Lab, Link, Topology, at
from wirewright.lab.initramfs import GuestError

if TYPE_CHECKING:
    from wirewright.lab.guest import Guest

CLIENT = str(Path(__file__).with_name("tunnel_client.py"))
NUMBERS = {"phone": 2, "laptop": 3, "guest": 4, "notebook": 5}
"""What the inner addresses end with."""
OUTER = {"phone": 1, "laptop": 5, "guest": 9, "notebook": 13}
"""What the gateway's address of the cable ends with; the device's is the next."""
TAP = "tap0"


def topology() -> Topology:
    cables = [
        Link(at(name, f"192.0.2.{number + 1}/30"), at("gate", f"192.0.2.{number}/30"))
        for name, number in OUTER.items()
        if name != "guest"
    ]
    shop = Link(
        at("shop", "198.51.100.7/24", "2001:db8::7/64"), at("gate", "198.51.100.1/24", "2001:db8::1/64")
    )
    return Topology((*cables, shop))


def addresses(name: str) -> tuple[str, str]:
    """The inner ones, without a prefix length."""
    return f"10.88.0.{NUMBERS[name]}", f"fd88::{NUMBERS[name]}"


def gate_of(name: str) -> str:
    """Where a device sends to."""
    return f"192.0.2.{OUTER[name]}"


def peer(name: str, gate: PublicKey) -> str:
    return (
        f"[Peer]\nPublicKey = {gate}\nAllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = {gate_of(name)}:51820\n"
        "PersistentKeepalive = 1\n"
    )


class Client(Protocol):
    """What is asked of a device."""

    name: str
    has_stack: bool
    """Whether a system's TCP/IP stack is behind it, which cuts what is too long into fragments."""

    @property
    def public_key(self) -> PublicKey: ...
    def connect(self, gate: PublicKey) -> None:
        """Have a session with a gateway, and none from before."""

    def asks(self, kind: str, to: str, port: int, seconds: float) -> bool:
        """Whether an echo comes back over TCP or UDP."""
        ...

    def pings(self, to: str, size: int, seconds: float) -> bool: ...


class Asked:
    """A process that answers a line by a line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(self, *words: object) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(words), file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def expect(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{word}\n"


class Interface:
    """A device with an interface in a host."""

    has_stack = True

    def __init__(self, lab: Lab, name: str, program: str = OURS) -> None:
        self.name, self._machine = name, lab[name]
        self.node = Node(lab[name], addresses(name), program=program).start()
        for family in ("-4", "-6"):
            lab[name].run("ip", family, "route", "add", "default", "dev", "wg0")
        pipe = subprocess.PIPE
        self._prober = Asked(
            lab[name].popen(sys.executable, PROBE, "serve", stdin=pipe, stdout=pipe, text=True)
        )
        self._prober.expect("ready")

    @property
    def public_key(self) -> PublicKey:
        return self.node.public_key

    def connect(self, gate: PublicKey) -> None:
        self.node.setconf(peer(self.name, gate))

    def asks(self, kind: str, to: str, port: int, seconds: float) -> bool:
        return self._prober.ask(kind, to, port, 1000, seconds) == "yes"

    def pings(self, to: str, size: int, seconds: float) -> bool:
        words = ("ping", "-n", "-c1", "-w", str(max(1, round(seconds))), "-s", str(size), to)
        return self._machine.run(*words, check=False).returncode == 0


class Kernel:
    """A device with the kernel's interface, in a virtual machine."""

    name = "guest"
    has_stack = True

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._key = SecretKey.generate()
        outer = f"192.0.2.{OUTER[self.name] + 1}/30"
        for line in (
            "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad",
            f"ip addr add {outer} dev eth0; ip link set eth0 up",
            f"echo {self._key.expose()} >/key",
            "ip link add wg0 type wireguard; wg set wg0 private-key /key",
            *(f"ip addr add {each} dev wg0" for each in addresses(self.name)),
            "ip link set wg0 up; ip route add default dev wg0; ip -6 route add default dev wg0",
        ):
            guest.run(line)

    @property
    def public_key(self) -> PublicKey:
        return self._key.public_key

    def connect(self, gate: PublicKey) -> None:
        self._guest.run("for peer in $(wg show wg0 peers); do wg set wg0 peer $peer remove; done")
        self._guest.run(
            f"wg set wg0 peer {gate} endpoint {gate_of(self.name)}:51820 allowed-ips 0.0.0.0/0,::/0 "
            "persistent-keepalive 1"
        )

    def asks(self, kind: str, to: str, port: int, seconds: float) -> bool:
        wait = max(1, round(seconds))
        if kind == "tcp":
            return "word" in self._run(f"echo word | timeout {wait} nc {to} {port}", seconds)
        # There is no other program for datagrams: its question comes back as a poor answer, which it tells.
        server = f"[{to}]:{port}" if ":" in to else f"{to}:{port}"
        said = self._run(f"timeout {wait} nslookup word {server} 2>&1 || echo failed", seconds)
        return "Non-authoritative answer" in said

    def pings(self, to: str, size: int, seconds: float) -> bool:
        program = "ping6" if ":" in to else "ping"
        # Its program asks once, where others ask until they are answered.
        tries, wait = (round(seconds / 5), 5) if seconds >= 5 else (1, max(1, round(seconds)))
        ping = f"{program} -c 1 -W {wait} -s {size} {to}"
        return ", 0% packet loss" in self._run(f"for i in $(seq {tries}); do {ping} && break; done", seconds)

    def _run(self, line: str, seconds: float) -> str:
        try:
            return self._guest.run(line, seconds + 60)
        except GuestError as error:
            if "exit status" in str(error):
                return ""
            raise


class Rootless:
    """A device with a rootless tunnel."""

    has_stack = False

    def __init__(self, lab: Lab, name: str = "notebook") -> None:
        self.name, self._machine = name, lab[name]
        self._key = SecretKey.generate()
        self._asked: Asked | None = None

    @property
    def public_key(self) -> PublicKey:
        return self._key.public_key

    def connect(self, gate: PublicKey) -> None:
        if self._asked is not None:
            self._asked.process.communicate(timeout=60)
        pipe = subprocess.PIPE
        self._asked = Asked(self._machine.popen(sys.executable, CLIENT, stdin=pipe, stdout=pipe, text=True))
        own = ", ".join(addresses(self.name))
        text = f"[Interface]\nPrivateKey = {self._key.expose()}\nAddress = {own}\n{peer(self.name, gate)}"
        assert self._asked.process.stdin is not None
        print(json.dumps(text), file=self._asked.process.stdin, flush=True)
        self._asked.expect("ready")

    def asks(self, kind: str, to: str, port: int, seconds: float) -> bool:
        assert self._asked is not None
        return self._asked.ask(kind, to, port, 1000, seconds) == "yes"

    def pings(self, to: str, size: int, seconds: float) -> bool:
        assert self._asked is not None
        return self._asked.ask("ping", to, size, seconds) == "yes"
