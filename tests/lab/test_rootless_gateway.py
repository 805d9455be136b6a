"""A gateway in a process without privileges: wireguard-go, and the system that it serves, go out through it.

::

    phone 10.88.0.2 fd88::2 ──┬── gate 10.88.0.1 fd88::1 ── router ── shop 203.0.113.7 2001:db8:2::7
    laptop 10.88.0.3 fd88::3 ─┘
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.nodes import Node, peer_section, until
from tests.lab.others import OTHERS
from wirewright.gateway.policy import DEFAULT_POLICY
from wirewright.keys import SecretKey
from wirewright.lab import Host, Lab, Link, Route, Topology, at

GATE, PROBE = (str(Path(__file__).with_name(name)) for name in ("rootless_gate.py", "probe.py"))
PHONE, LAPTOP = ("10.88.0.2", "fd88::2"), ("10.88.0.3", "fd88::3")
SHOP = ("203.0.113.7", "2001:db8:2::7")
GATE_OUTSIDE = ("198.51.100.2", "2001:db8:1::2")
OWN = ("10.88.0.1", "fd88::1")
ROUTER = ("198.51.100.1", "2001:db8:1::1")
NOBODY = (
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--bounding-set=-all",
    "--inh-caps=-all",
    "--no-new-privs",
)
BOTH = (4, 6)
PATIENCE = 20
SILENCE = 0.7
"""Seconds without an answer, where a counter tells besides that none can come."""


def topology() -> Topology:
    links = (
        Link(at("phone", "192.0.2.2/30"), at("gate", "192.0.2.1/30")),
        Link(at("laptop", "192.0.2.6/30"), at("gate", "192.0.2.5/30")),
        Link(
            at("gate", f"{GATE_OUTSIDE[0]}/24", f"{GATE_OUTSIDE[1]}/64"),
            at("router", f"{ROUTER[0]}/24", f"{ROUTER[1]}/64"),
        ),
        Link(
            at("router", "203.0.113.1/24", "2001:db8:2::1/64"), at("shop", f"{SHOP[0]}/24", f"{SHOP[1]}/64")
        ),
    )
    hosts = (
        Host("gate", routes=(Route("default", ROUTER[0]), Route("::/0", ROUTER[1]))),
        Host("router", forward=True),
        Host("shop", routes=(Route("default", "203.0.113.1"), Route("::/0", "2001:db8:2::1"))),
    )
    return Topology(links, hosts)


class Network:
    """The lab, and the processes in it."""

    def __init__(self, lab: Lab, **forwarding: Any) -> None:
        self.lab = lab
        lab["gate"].run("sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
        (go,) = (other for other in OTHERS if other.program == "wireguard-go")
        self.phone = Node(lab["phone"], PHONE, program=go.path).start()
        self.laptop = Node(lab["laptop"], LAPTOP).start()
        key = SecretKey.generate()
        devices = {
            "phone": [str(self.phone.public_key), *PHONE],
            "laptop": [str(self.laptop.public_key), *LAPTOP],
        }
        facts = json.dumps({"devices": devices, "forwarding": forwarding})
        pipe = subprocess.PIPE
        self.process = lab["gate"].popen(
            *NOBODY,
            sys.executable,
            GATE,
            facts,
            stdin=pipe,
            stdout=pipe,
            text=True,
            env={"HOME": "/nonexistent"},
        )
        assert self.process.stdin is not None
        self.process.stdin.write(f"{key.expose()}\n")
        self.process.stdin.flush()
        assert self.said() == "ready"
        gate = Known(key)
        for node, outer in ((self.phone, "192.0.2.1"), (self.laptop, "192.0.2.5")):
            section = peer_section(gate, endpoint=outer, allowed=["0.0.0.0/0", "::/0"], keepalive=25)
            node.setconf(section)
            for version in BOTH:
                node.machine.run("ip", f"-{version}", "route", "add", "default", "dev", "wg0")
            node.ping(OWN[0])
        self.probers = {name: self.prober(name) for name in ("phone", "laptop", "shop", "gate")}

    def said(self) -> str:
        assert self.process.stdout is not None
        return str(self.process.stdout.readline().strip())

    def counters(self) -> dict[str, int]:
        assert self.process.stdin is not None
        print("{}", file=self.process.stdin, flush=True)
        counters: dict[str, int] = json.loads(self.said())
        return counters

    def put(self, **policies: Any) -> None:
        """Give devices their policies, and see them in force."""
        assert self.process.stdin is not None
        print(json.dumps(policies), file=self.process.stdin, flush=True)
        assert self.said() == "done"

    def prober(self, name: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        process = self.lab[name].popen(sys.executable, PROBE, "serve", stdin=pipe, stdout=pipe, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def ask(
        self,
        kind: str,
        to: str,
        port: int = 7000,
        *,
        size: int = 100,
        name: str = "phone",
        patience: float = PATIENCE,
    ) -> str:
        """Ask over TCP or UDP: yes, no, or refused."""
        prober = self.probers[name]
        assert prober.stdin is not None
        assert prober.stdout is not None
        print(json.dumps([kind, to, port, size, patience]), file=prober.stdin, flush=True)
        return prober.stdout.readline().strip()

    def ping(self, to: str, *words: str) -> str:
        command = ("ping", "-n", "-c1", "-w", str(PATIENCE), *words, to)
        return self.lab["phone"].run(*command, check=False).stdout

    def asks_in_vain(self, kind: str, to: str, port: int = 7000, **options: Any) -> bool:
        """Whether something is dropped by the filter, and nothing comes back."""
        before = self.counters()["filter_denied"]
        said = self.ask(kind, to, port, patience=SILENCE, **options)
        return said == "no" and self.counters()["filter_denied"] > before

    def connect(self, to: str, port: int) -> str:
        """The name of the error that an attempt to connect meets, as the phone's own system has it."""
        done = self.lab["phone"].python(CONNECT, to, str(port))
        return done.stdout.strip()


# The kernel itself waits, not Python with a poll: who polls is woken a moment before an error can be read,
# and would take its absence for a connection.
CONNECT = f"""
import errno, socket, struct, sys
host, port = sys.argv[1], int(sys.argv[2])
try:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", {PATIENCE}, 0))
        sock.connect((host, port))
    print("connected")
except OSError as error:
    print(errno.errorcode.get(error.errno, error))
"""


TRACE = f"""
import select, socket, sys
host = sys.argv[1]
v6 = ":" in host
level, hops, errors = (41, 16, 25) if v6 else (0, 2, 11)
for hop in (1, 2, 3):
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(level, errors, 1)
        sock.setsockopt(level, hops, hop)
        sock.sendto(b"probe", (host, 33434 + hop))
        poll = select.poll()
        poll.register(sock, 0)
        assert poll.poll({PATIENCE * 1000})
        _, [(_, _, data)], _, _ = sock.recvmsg(100, 512, 0x2000)
        print(socket.inet_ntop(sock.family, data[24:40] if v6 else data[20:24]))
"""


class Known:
    """The gateway as its peers know it."""

    addresses = OWN
    port = 51820

    def __init__(self, key: SecretKey) -> None:
        self.public_key = key.public_key


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Lab(topology()) as lab:
        made = Network(lab, connect_timeout=1.0)
        yield made
        made.process.communicate(timeout=PATIENCE)
        assert made.process.returncode == 0
        for prober in made.probers.values():
            prober.kill()
            prober.communicate()


def test_the_gateway_has_no_privilege(network: Network) -> None:
    status = (Path("/proc") / str(python_in(network)) / "status").read_text()
    wanted = {"CapEff": "0000000000000000", "CapBnd": "0000000000000000", "Uid": "65534"}
    for name, value in wanted.items():
        line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
        assert line.split()[1] == value


def python_in(network: Network) -> int:
    """The gateway's process, by the number that it has here."""
    found = [
        process
        for process in network.lab["gate"].processes()
        if b"rootless_gate" in Path(f"/proc/{process}/cmdline").read_bytes()
    ]
    return found[-1]


@pytest.mark.parametrize("version", BOTH)
def test_connections_and_datagrams_go_out_and_come_back(network: Network, version: int) -> None:
    shop = SHOP[version == 6]
    assert network.ask("tcp", shop, size=2_000_000) == "yes"
    assert network.ask("udp", shop, size=1_300) == "yes"


@pytest.mark.parametrize("version", BOTH)
def test_a_port_where_nobody_listens_refuses(network: Network, version: int) -> None:
    shop = SHOP[version == 6]
    assert network.connect(shop, 7009) == "ECONNREFUSED"
    assert network.ask("udp", shop, 7009) == "refused"


@pytest.mark.parametrize("version", BOTH)
def test_a_host_that_is_not_there_is_unreachable(network: Network, version: int) -> None:
    nobody = ("203.0.113.99", "2001:db8:2::99")[version == 6]
    assert network.connect(nobody, 80) == "EHOSTUNREACH"


@pytest.mark.parametrize("version", BOTH)
def test_a_ping_shows_each_hop_and_arrives(network: Network, version: int) -> None:
    shop = SHOP[version == 6]
    hops = [network.ping(shop, "-t", str(hops)) for hops in (1, 2, 3)]
    assert f"From {OWN[version == 6]}" in hops[0]
    assert f"From {ROUTER[version == 6]}" in hops[1]
    assert "1 received" in hops[2], hops
    assert "1 received" in network.ping(shop, "-s", "1000")


@pytest.mark.parametrize("version", BOTH)
def test_a_trace_by_datagrams_shows_each_hop_and_who_is_there_refuses(network: Network, version: int) -> None:
    done = network.lab["phone"].python(TRACE, SHOP[version == 6])
    assert done.stdout.split() == [OWN[version == 6], ROUTER[version == 6], SHOP[version == 6]]


@pytest.mark.parametrize("hidden", ["169.254.169.254", "100.100.100.200", *GATE_OUTSIDE, "10.88.0.77"])
def test_what_is_special_or_the_gateways_own_is_not_reached(network: Network, hidden: str) -> None:
    before = network.counters()["connections_joined"]
    assert network.connect(hidden, 7000) in {"EHOSTUNREACH", "EACCES"}
    assert network.counters()["connections_joined"] == before


@pytest.mark.parametrize("version", BOTH)
def test_long_datagrams_pass_in_fragments(network: Network, version: int) -> None:
    shop = SHOP[version == 6]
    assert network.ask("udp", shop, size=5_000) == "yes"
    assert "1 received" in network.ping(shop, "-s", "4000")


def test_what_was_open_is_closed(network: Network) -> None:
    assert network.ask("tcp", SHOP[0]) == "yes"
    until(lambda: network.counters()["connections"] == 0, "connections end")


def rule(*destinations: str, protocol: str = "any", ports: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"destinations": destinations, "protocol": protocol, "ports": ports}


@pytest.fixture
def filtered(network: Network) -> Network:
    """Give devices that may start nothing. What comes behind this in the file has a filter."""
    network.put(phone=[], laptop=[])
    return network


@pytest.mark.parametrize("version", BOTH)
def test_a_policy_holds_for_what_goes_outside(filtered: Network, version: int) -> None:
    shop = SHOP[version == 6]
    assert filtered.asks_in_vain("udp", shop)
    assert filtered.asks_in_vain("tcp", shop)
    filtered.put(phone=[rule(f"{shop}/{128 if version == 6 else 32}", protocol="udp", ports=("7000",))])
    assert filtered.ask("udp", shop) == "yes"
    assert filtered.ask("udp", shop, size=5_000) == "yes"
    assert filtered.asks_in_vain("udp", shop, 7001)
    assert filtered.asks_in_vain("udp", shop, 7001, size=5_000)
    assert filtered.asks_in_vain("tcp", shop)
    filtered.put(phone=DEFAULT_POLICY.to_json())
    assert filtered.ask("tcp", shop) == "yes"
    assert filtered.ask("udp", shop, 7009) == "refused"
    assert "1 received" in filtered.ping(shop)
    assert f"From {ROUTER[version == 6]}" in filtered.ping(shop, "-t", "2")


@pytest.mark.parametrize("version", BOTH)
def test_devices_are_kept_apart_until_a_policy_opens_one(filtered: Network, version: int) -> None:
    laptop, phone = LAPTOP[version == 6], PHONE[version == 6]
    filtered.put(phone=DEFAULT_POLICY.to_json(), laptop=DEFAULT_POLICY.to_json())
    for kind in ("udp", "tcp"):
        assert filtered.asks_in_vain(kind, laptop)
    filtered.put(phone=[rule(f"{laptop}/{128 if version == 6 else 32}")])
    assert filtered.ask("tcp", laptop, size=200_000) == "yes"
    assert filtered.ask("udp", laptop, size=5_000) == "yes"
    assert "1 received" in filtered.ping(laptop)
    assert f"From {OWN[version == 6]}" in filtered.ping(laptop, "-t", "1")
    assert filtered.asks_in_vain("tcp", phone, name="laptop")
