"""WireGuard interfaces in the hosts of a lab, whoever implements them."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.interop.relay import until
from tests.lab.dumps import Dump, parse
from wirewright.keys import PresharedKey, PublicKey, SecretKey
from wirewright.lab import Lab, Link, Machine, Topology, at

OURS = str(Path(sys.executable).with_name("wirewright-tun"))
INSIDE = str(Path(__file__).with_name("inside.py"))

# Where two hosts meet: the outer addresses.
OUTER = {4: ("192.0.2.1", "192.0.2.2"), 6: ("fd00::1", "fd00::2")}
INNER = (("10.7.0.1", "fd07::1"), ("10.7.0.2", "fd07::2"))

# Others are to print no banner, to stay who they are, and to write no log into a folder that all share.
MANNERS = {
    "WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1",
    "WG_SUDO": "true",
    "WG_LOG_FILE": "/dev/null",
}


COUNTERS = """
import socket, sys
with socket.socket(socket.AF_UNIX) as client:
    client.settimeout(20)
    client.connect(sys.argv[1])
    client.sendall(b"counters=1\\n\\n")
    answer = b""
    while not answer.endswith(b"\\n\\n"):
        answer += client.recv(65536)
    print(answer.decode())
"""


def cable(**qualities: Any) -> Topology:
    """Two hosts, a and b, with addresses of both families."""
    ends = (at("a", "192.0.2.1/24", "fd00::1/64"), at("b", "192.0.2.2/24", "fd00::2/64"))
    return Topology((Link(*ends, **qualities),))


@dataclass
class Node:
    """One interface: its program, its settings, and what can be asked of it."""

    machine: Machine
    addresses: Sequence[str] = ()
    """Inner ones, without a prefix length."""
    name: str = "wg0"
    program: str = OURS
    """With its options, if any."""
    wrapper: Sequence[str] = ()
    """A command that starts the program."""
    port: int = 51820
    mtu: int = 1420
    environment: dict[str, str] = field(default_factory=dict)
    without: Sequence[str] = ()
    """Offloads that our own program is to do without."""
    shards: int | None = None
    """Threads of our own program for packets, if not as many as it chooses."""
    key: SecretKey = field(default_factory=SecretKey.generate)

    @property
    def public_key(self) -> PublicKey:
        return self.key.public_key

    def start(self) -> Node:
        """Start it and bring it up, without peers."""
        without = {"WIREWRIGHT_WITHOUT": ",".join(self.without)}
        shards = {} if self.shards is None else {"WIREWRIGHT_SHARDS": str(self.shards)}
        environment = MANNERS | without | shards | self.environment
        self.machine.run(*self.wrapper, *shlex.split(self.program), self.name, env=environment)
        self.setconf()
        self.bring_up()
        return self

    def bring_up(self) -> None:
        for address in self.addresses:
            length = 64 if ":" in address else 24
            self.machine.run("ip", "address", "add", f"{address}/{length}", "dev", self.name)
        self.machine.run("ip", "link", "set", self.name, "mtu", str(self.mtu), "up")

    def interface_section(self) -> str:
        return f"[Interface]\nPrivateKey = {self.key.expose()}\nListenPort = {self.port}\n"

    def setconf(self, *peers: str, verb: str = "setconf") -> None:
        self.wg(verb, "/dev/stdin", input=self.interface_section() + "".join(peers))

    def add(self, *peers: str) -> None:
        self.wg("addconf", "/dev/stdin", input="".join(peers))

    def wg(self, verb: str, *arguments: str, **options: Any) -> str:
        """Call ``wg VERB INTERFACE ...``."""
        return self.machine.run("wg", verb, self.name, *arguments, **options).stdout

    def show(self, what: str) -> dict[str, str]:
        """Return a column of ``wg show`` by public key."""
        rows = (line.split("\t", 1) for line in self.wg("show", what).splitlines())
        return {row[0]: row[1] for row in rows}

    def dump(self) -> Dump:
        """Return all that ``wg show`` tells."""
        return parse(self.wg("show", "dump"))

    def counters(self) -> dict[str, int]:
        """Ask our own program what went wrong so far."""
        socket = f"/var/run/wireguard/{self.name}.sock"
        said = self.machine.python(COUNTERS, socket).stdout
        rows = (line.split("=", 1) for line in said.split())
        counters = {name: int(count) for name, count in rows}
        assert counters.pop("errno") == 0
        return counters

    def latest_handshake(self, peer: Known) -> int:
        return int(self.show("latest-handshakes").get(str(peer.public_key), "0"))

    def received(self, peer: Known) -> int:
        return int(self.show("transfer").get(str(peer.public_key), "0\t0").split("\t")[0])

    def sent(self, peer: Known) -> int:
        return int(self.show("transfer").get(str(peer.public_key), "0\t0").split("\t")[1])

    def endpoint_of(self, peer: Known) -> str:
        return self.show("endpoints")[str(peer.public_key)]

    def ping(self, address: str, *, seconds: int = 20, size: int = 56, count: int = 1) -> str:
        """Ping until an answer comes; an assertion fails if none does in time."""
        return self.machine.run(
            "ping", "-n", "-c", str(count), "-i", "0.2", "-w", str(seconds), "-s", str(size), address
        ).stdout

    def reaches(self, address: str, *, seconds: int = 1) -> bool:
        """Whether a ping is answered."""
        done = self.machine.run("ping", "-n", "-c1", "-w", str(seconds), address, check=False)
        return done.returncode == 0

    def kill(self) -> None:
        """End its process without a warning, and wait until the kernel has taken all that was its own."""
        name = Path(shlex.split(self.program)[0]).name
        assert self.machine.kill(name) == 1
        until(lambda: not self.is_there(), "the interface goes with its process")
        # The sockets may go after the interface, and their port is asked for again.
        until(lambda: not self.machine.processes(name), "the process goes")

    def is_gone(self) -> bool:
        """Whether neither its process nor its interface nor its socket are there."""
        sockets = self.machine.run("ls", "/var/run/wireguard").stdout
        return not self.is_there() and f"{self.name}.sock" not in sockets.split()

    def is_there(self) -> bool:
        """Whether its interface is."""
        return f": {self.name}:" in self.machine.run("ip", "-o", "link").stdout


class Known(Protocol):
    """What others must know of an interface."""

    @property
    def public_key(self) -> PublicKey: ...
    @property
    def addresses(self) -> Sequence[str]: ...
    @property
    def port(self) -> int: ...


def peer_section(
    node: Known,
    *,
    endpoint: str | None = None,
    allowed: Iterable[str] | None = None,
    keepalive: int | None = None,
    preshared_key: PresharedKey | None = None,
) -> str:
    """Write the ``[Peer]`` section by which others know a node."""
    networks = allowed if allowed is not None else [f"{a}/{128 if ':' in a else 32}" for a in node.addresses]
    lines = ["[Peer]", f"PublicKey = {node.public_key}", f"AllowedIPs = {', '.join(networks)}"]
    if endpoint is not None:
        host = f"[{endpoint}]" if ":" in endpoint else endpoint
        lines.append(f"Endpoint = {host}:{node.port}")
    if keepalive is not None:
        lines.append(f"PersistentKeepalive = {keepalive}")
    if preshared_key is not None:
        lines.append(f"PresharedKey = {preshared_key.expose()}")
    return "\n".join([*lines, ""])


def pair(
    lab: Lab,
    *,
    outer: int = 4,
    programs: tuple[str, str] = (OURS, OURS),
    preshared_key: PresharedKey | None = None,
    **settings: Any,
) -> tuple[Node, Node]:
    """Start an interface on a and on b that know each other and each other's whereabouts."""
    a, b = (
        Node(lab[host], addresses, program=program, **settings).start()
        for host, addresses, program in zip("ab", INNER, programs, strict=True)
    )
    a.setconf(peer_section(b, endpoint=OUTER[outer][1], preshared_key=preshared_key))
    b.setconf(peer_section(a, endpoint=OUTER[outer][0], preshared_key=preshared_key))
    return a, b


def steady_pings(node: Node, address: str, seconds: int) -> subprocess.Popen[str]:
    """Ping five times a second for so long; what was lost stands in the last lines of the output."""
    words = ("ping", "-n", "-q", "-i", "0.2", "-c", str(seconds * 5), "-W", "5", address)
    return node.machine.popen(*words, stdout=subprocess.PIPE, text=True)


def pass_time(seconds: float) -> None:
    """Wait for what others do or forget by their own clocks."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, f"{seconds} s pass", seconds + 5)


def inside(machine: Machine, *words: str) -> subprocess.Popen[str]:
    """Start ``inside.py`` in a host; it has said that it is ready when this returns."""
    pipe = subprocess.PIPE
    process = machine.popen(sys.executable, INSIDE, *words, stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def answer(process: subprocess.Popen[str], seconds: float = 50) -> str:
    """Wait for the end of a process, and return what it said."""
    said, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, said
    return said.strip()


def transfer(source: Machine, target: Machine, address: str, size: int, *words: str) -> None:
    """Send bytes over TCP, as more words for ``send`` say, and check what arrives."""
    sink = inside(target, "sink")
    sent = source.run(sys.executable, INSIDE, "send", address, str(size), *words).stdout.strip()
    assert answer(sink) == sent
    assert sent.endswith(f" {size}")


__all__ = [
    "INNER",
    "INSIDE",
    "OURS",
    "OUTER",
    "Node",
    "answer",
    "cable",
    "inside",
    "pair",
    "pass_time",
    "peer_section",
    "steady_pings",
    "transfer",
    "until",
]
