"""Who is compared: system tunnels of several makers, the bare loop, the bare wire.

Each makes two hosts reach each other, host a and host b, whose cable has the addresses `OUTER`. All tunnels
have the same MTU and the same inner addresses, and each runs as its makers have set it: nobody is tuned.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from wirewright.bench.errors import BenchError
from wirewright.bench.processes import Process
from wirewright.bench.programs import Program
from wirewright.keys import PublicKey, SecretKey
from wirewright.lab import Machine

OUTER = ("192.0.2.1", "192.0.2.2")
INNER = ("10.7.0.1", "10.7.0.2")
MTU = 1420
PORT = 51820
INTERFACE = "wg0"
ACCEPTING = "00010000"
"""The flag of a Unix socket that listens, as the kernel shows it."""


class Kind(Enum):
    """What can be asked of a contestant."""

    ENGINE = "engine"
    """It speaks WireGuard: it bears losses, and may have any number of peers."""
    LOOP = "loop"
    """A process that takes every train of packets to be whole."""
    WIRE = "wire"
    """The kernel alone."""


class Contestant(Protocol):
    """One way from host a to host b."""

    @property
    def name(self) -> str:
        """By which it is chosen."""

    @property
    def how(self) -> str:
        """What it is and how it is run, in a line."""

    @property
    def kind(self) -> "Kind":
        """What kind of thing it is."""

    def why_absent(self) -> str | None:
        """Say what to do to have it, or nothing if it is there."""

    def version(self) -> str:
        """Return its version."""

    def connect(self, hosts: Sequence[Machine]) -> AbstractContextManager["Connection"]:
        """Make the hosts reach each other for as long as the block lasts."""


@dataclass
class Connection:
    """What there is once two hosts reach each other."""

    addresses: tuple[str, str]
    processes: list[Process] = field(default_factory=list)
    interfaces: tuple[str, str] = ("eth0", "eth0")
    start: Callable[[Machine, str], None] | None = None
    """Starts one more engine of the same kind in a host, behind an interface of this name."""
    public_key: PublicKey | None = None
    """That of the engine in host a: not every engine tells it."""

    def check(self, grace: float = 0.0) -> None:
        """Raise an error if a process has ended, or does within so many seconds each."""
        for process in self.processes:
            process.check(grace)


@dataclass(frozen=True)
class Engine:
    """A WireGuard engine in user space, set up by ``wg``."""

    name: str
    how: str
    program: Program
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    kind: Kind = Kind.ENGINE

    def why_absent(self) -> str | None:
        """Say what to do to have it, or nothing if it is there."""
        return self.program.why_absent()

    def version(self) -> str:
        """Return its version."""
        return self.program.version()

    @contextmanager
    def connect(self, hosts: Sequence[Machine]) -> Iterator[Connection]:
        """Start it on both hosts, and tell each of the other."""
        keys = [SecretKey.generate() for _ in hosts]
        connection = Connection(INNER, interfaces=(INTERFACE, INTERFACE), public_key=keys[0].public_key)

        def start(host: Machine, interface: str) -> None:
            command = [_found(self.program), *self.options, interface]
            process = Process(host, command, self.environment)
            connection.processes.append(process)
            process.wait_for("interface", lambda: _listens(host, interface))

        connection.start = start
        try:
            for number, host in enumerate(hosts):
                start(host, INTERFACE)
                other = 1 - number
                wg(host, "setconf", interface_section(keys[number]) + _peer(keys[other].public_key, other))
                bring_up(host, INNER[number])
            yield connection
        finally:
            for process in connection.processes:
                process.close()


@dataclass(frozen=True)
class BareLoop:
    """The loop that does what any tunnel must, and nothing else."""

    name: str
    how: str
    options: tuple[str, ...] = ()
    kind: Kind = Kind.LOOP

    def why_absent(self) -> str | None:
        """Say what to do to have it, or nothing if it is there."""
        return _LOOP.why_absent()

    def version(self) -> str:
        """Return nothing: it is of this checkout."""
        return ""

    @contextmanager
    def connect(self, hosts: Sequence[Machine]) -> Iterator[Connection]:
        """Start it on both hosts."""
        connection = Connection(INNER, interfaces=(INTERFACE, INTERFACE))
        try:
            for number, host in enumerate(hosts):
                ends = [f"{OUTER[end]}:{PORT}" for end in (number, 1 - number)]
                process = Process(host, [_found(_LOOP), INTERFACE, *ends, *self.options], {})
                connection.processes.append(process)
                process.wait_for("interface", lambda: _has_interface(host))  # noqa: B023 - called at once
                # A super-packet with its header fits the 45 slices that, sealed, are one train.
                _ip(host, f"link set {INTERFACE} gso_max_size 63900")
                bring_up(host, INNER[number])
            yield connection
        finally:
            for process in connection.processes:
                process.close()


@dataclass(frozen=True)
class BareWire:
    """No tunnel: the cable itself."""

    name: str = "veth"
    how: str = "no tunnel: the cable between the hosts, a veth pair with an MTU of 1500"
    kind: Kind = Kind.WIRE

    def why_absent(self) -> str | None:
        """Return nothing: it is always there."""
        return None

    def version(self) -> str:
        """Return nothing: it is the kernel's."""
        return ""

    @contextmanager
    def connect(self, hosts: Sequence[Machine]) -> Iterator[Connection]:
        """Leave the hosts as they are."""
        del hosts
        yield Connection(OUTER)


def wg(host: Machine, verb: str, settings: str, interface: str = INTERFACE) -> None:
    """Call ``wg setconf`` or ``wg addconf``."""
    host.run("wg", verb, interface, "/dev/stdin", input=settings)


def idle_peers(count: int) -> str:
    """Describe peers that exist and never say anything."""
    sections = []
    for number in range(count):
        key = SecretKey.generate().public_key
        sections.append(f"[Peer]\nPublicKey = {key}\nAllowedIPs = 10.8.{number // 256}.{number % 256}/32\n")
    return "".join(sections)


def interface_section(key: SecretKey, port: int = PORT) -> str:
    """Describe an interface."""
    return f"[Interface]\nPrivateKey = {key.expose()}\nListenPort = {port}\n"


def bring_up(host: Machine, address: str, interface: str = INTERFACE) -> None:
    """Give an interface its address and the MTU of all tunnels."""
    _ip(host, f"address add {address}/24 dev {interface}", f"link set {interface} mtu {MTU} up")


def _peer(key: PublicKey, number: int) -> str:
    where = f"Endpoint = {OUTER[number]}:{PORT}\nAllowedIPs = {INNER[number]}/32\n"
    return f"[Peer]\nPublicKey = {key}\n{where}"


def _found(program: Program) -> str:
    path = program.find()
    if path is None:
        raise BenchError(program.why_absent() or "")
    return str(path)


def _listens(host: Machine, interface: str) -> bool:
    """Whether an engine can be asked: ``wg`` would delete a socket that is bound but does not listen yet."""
    sockets = Path(f"/proc/{host.holder}/net/unix").read_text().splitlines()
    listening = (line.split() for line in sockets if f"/{interface}.sock" in line)
    return any(fields[3] == ACCEPTING for fields in listening)


def _has_interface(host: Machine) -> bool:
    return host.run("ip", "link", "show", INTERFACE, check=False).returncode == 0


def _ip(host: Machine, *commands: str) -> None:
    host.run("ip", "-batch", "-", input="\n".join([*commands, ""]))


_OURS = Program("wirewright-tun", "pip install wirewright")
_LOOP = Program(
    "bare_loop",
    "it is built in a checkout: cargo build --release -p wirewright-bench --example bare_loop",
    "target/release/examples",
)
_PLAIN = {"WIREWRIGHT_WITHOUT": "tun-tcp,tun-udp,udp-send,udp-receive"}
_QUIET = {"WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1"}

_ALL: tuple[Contestant, ...] = (
    Engine("wirewright", "wirewright-tun, one shard, as it is started by default", _OURS, ("-f",)),
    Engine("wirewright-2", "wirewright-tun with two shards", _OURS, ("-f",), {"WIREWRIGHT_SHARDS": "2"}),
    Engine("wirewright-plain", "wirewright-tun without any offload", _OURS, ("-f",), _PLAIN),
    Engine(
        "wireguard-go",
        "wireguard-go as it is started by default",
        Program("wireguard-go", "`make bench-linux` in a checkout builds it"),
        ("-f",),
        _QUIET,
    ),
    Engine(
        "boringtun",
        "boringtun-cli with its defaults (4 threads); told to keep root, without which it cannot run",
        Program("boringtun-cli", "`make bench-linux` in a checkout builds it"),
        ("-f", "--disable-drop-privileges"),
    ),
    Engine(
        "gotatun",
        "gotatun with its defaults; told to keep root, as boringtun is",
        Program("gotatun", "`make bench-linux` in a checkout builds it"),
        ("-f", "--disable-drop-privileges"),
    ),
    BareLoop("loop-aead", "the bare loop with the cipher: no protocol, the ceiling", ("--aead",)),
    BareLoop("loop", "the bare loop without a cipher"),
    BareWire(),
)
CONTESTANTS: Mapping[str, Contestant] = {contestant.name: contestant for contestant in _ALL}
"""Everyone, by name."""

ON_REQUEST = frozenset({"wirewright-2"})
"""Those who take part only if they are named."""
