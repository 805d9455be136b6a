"""Where the keys of a system interface are: in protected pages while they are used, and nowhere afterwards.

The other end of the tunnel is this process, by the specification, which derives every secret that both ends
know and finds the ephemeral keys by their public halves. It searches three things for them, in raw bytes,
in hexadecimal and in base64: the memory of the interface's process; a core file with everything, which proves
that it finds keys in core files; and the core files that a debugger and the kernel write by themselves.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.core.other_end import PATIENCE, Peer
from tests.lab.cores import at_rest, by_debugger, by_kernel, kernel_writes_files
from tests.lab.nodes import OURS, cable, until
from tests.memory import flags_around, found, found_in, private_halves
from wirewright.lab import Lab, Machine

SET = {"private key": {"raw"}, "preshared key": {"raw"}}
# The product of both static keys is computed with the first handshake.
CONFIGURED = SET | {"static-static": {"raw"}}
OF_AN_INITIATION = {"ephemeral key": {"raw"}, "chaining key of initiation 1": {"raw"}}
OF_A_SESSION = {"sending key": {"raw"}, "receiving key": {"raw"}}

# Opens a socket and passes it on.
OPENER = """
import socket, sys
outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
outer.bind(("192.0.2.2", 51820))
socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [b"."], [outer.fileno()])
"""
PACKET = "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('10.0.0.2', 9))"


class Served:
    """An interface of ours, its process, and the other end of its tunnel."""

    def __init__(self, machine: Machine, peer: Peer, process: int, directory: Path) -> None:
        self.machine, self.peer, self.process, self.directory = machine, peer, process, directory

    def wg(self, *words: str, text: str | None = None) -> str:
        return self.machine.run("wg", *words, input=text).stdout

    def configure(self) -> None:
        def text(key: bytes) -> str:
            return b64encode(key).decode()

        self.wg(
            "setconf",
            "wg0",
            "/dev/stdin",
            text=f"[Interface]\nPrivateKey = {text(self.peer.secrets['private key'])}\n"
            f"[Peer]\nPublicKey = {text(self.peer.public)}\nPresharedKey = {text(self.peer.preshared)}\n"
            "Endpoint = 192.0.2.2:51820\nAllowedIPs = 10.0.0.2/32\n",
        )

    def begin(self) -> None:
        """Let it begin a handshake."""
        self.machine.python(PACKET)
        self.peer.hear_initiation()

    def establish(self) -> None:
        """Let it begin a handshake, end that, and exchange packets."""
        self.begin()
        self.peer.respond()
        self.peer.exchange_keepalives()

    def holds(self) -> dict[str, set[str]]:
        """Tell which secrets are in memory, and in which forms."""
        self.peer.hear_what_was_repeated()
        return found(self.process, self.peer.secrets)

    def comes_to(self, expected: dict[str, set[str]]) -> bool:
        """Wait until it holds these, and no others: who has an answer may be faster than who wipes it."""
        end = time.monotonic() + PATIENCE
        while (held := self.holds()) != expected:
            assert time.monotonic() < end, held
        return True

    def core_file_holds(self, *, everything: bool = False) -> dict[str, set[str]]:
        """Tell the same of a core file."""
        file = self.directory / "written-by-gdb"
        return found_in([by_debugger(self.process, file, everything=everything)], self.peer.secrets)


Reach = Callable[[Served], None]


@contextmanager
def serving(directory: Path, **environment: str) -> Iterator[Served]:
    """Serve an interface, in the foreground, from a directory in which it may leave core files."""
    with Lab(cable()) as lab:
        outer = socket_in(lab["b"])
        allowed = f"cd {directory} && ulimit -c unlimited && exec {OURS} -f wg0"
        with lab["a"].popen("sh", "-c", allowed, env=environment) as program, outer:
            try:
                until(lambda: lab["a"].run("wg", "show", "wg0", check=False).returncode == 0, "it serves", 60)
                lab["a"].run("ip", "address", "add", "10.0.0.1/24", "dev", "wg0")
                lab["a"].run("ip", "link", "set", "wg0", "up")
                (process,) = lab["a"].processes("wirewright-tun")
                served = Served(lab["a"], Peer(outer), process, directory)
                served.configure()
                yield served
            finally:
                program.kill()


def socket_in(machine: Machine) -> socket.socket:
    """Open the socket of the other end in its host."""
    mine, theirs = socket.socketpair()
    opening = [sys.executable, "-c", OPENER, str(theirs.fileno())]
    with mine, theirs, machine.popen(*opening, pass_fds=[theirs.fileno()]):
        _, (descriptor,), *_ = socket.recv_fds(mine, 1, 1)
        return socket.socket(fileno=descriptor)


def test_a_handshake_under_way_is_in_memory_and_in_no_core_file(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        served.begin()
        with at_rest(served.process):
            halves = private_halves(served.process, served.peer.ephemerals)
            [served.peer.secrets["ephemeral key"]] = halves.values()
            assert served.holds() == CONFIGURED | OF_AN_INITIATION
            assert served.core_file_holds(everything=True) == CONFIGURED | OF_AN_INITIATION
            assert served.core_file_holds() == {}


def test_the_keys_of_a_session_are_in_memory_and_in_no_core_file(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        served.establish()
        assert served.comes_to(CONFIGURED | OF_A_SESSION)
        assert served.core_file_holds(everything=True) == CONFIGURED | OF_A_SESSION
        assert served.core_file_holds() == {}


def test_every_key_lies_in_pages_that_are_locked_undumped_and_wiped_on_fork(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        served.establish()
        secrets = {name: served.peer.secrets[name] for name in CONFIGURED | OF_A_SESSION}
        flags = flags_around(served.process, secrets)
        assert flags.keys() == secrets.keys()
        assert all({"lo", "dd", "wf"} <= words for places in flags.values() for words in places), flags


def test_what_wg_sets_and_is_shown_leaves_no_text_of_a_key(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        key, preshared = (b64encode(served.peer.secrets[name]).decode() for name in SET)
        for _ in range(3):
            assert served.comes_to(SET)
            served.configure()
            assert served.comes_to(SET)
            shown = served.wg("show", "wg0", "dump")
            assert key in shown
            assert preshared in shown
            assert served.comes_to(SET)
            assert preshared in served.wg("showconf", "wg0")


def test_a_request_that_ends_in_the_middle_leaves_no_text_of_a_key(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        (path,) = Path(f"/proc/{served.process}/root/run/wireguard").iterdir()
        preshared, other = served.peer.preshared.hex(), os.urandom(32)
        served.peer.secrets["another preshared key"] = other
        peer = os.urandom(32).hex()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(f"set=1\npublic_key={peer}\npreshared_key={preshared}".encode())
            assert served.comes_to(SET | {"preshared key": {"raw", "hex"}})
            client.sendall(f"\npreshared_key={other.hex()}\n".encode())
            assert served.comes_to(SET | {"another preshared key": {"raw"}})
        assert served.comes_to(SET)


@pytest.mark.parametrize("reach", [Served.begin, Served.establish])
def test_a_removed_peer_leaves_only_the_private_key_and_that_leaves_nothing(
    tmp_path: Path, reach: Reach
) -> None:
    with serving(tmp_path) as served:
        reach(served)
        served.wg("set", "wg0", "peer", b64encode(served.peer.public).decode(), "remove")
        assert served.comes_to({"private key": {"raw"}})
        served.wg("set", "wg0", "private-key", "/dev/null")
        assert served.comes_to({})
        assert private_halves(served.process, served.peer.ephemerals) == {}


@pytest.mark.parametrize("reach", [Served.begin, Served.establish])
def test_a_removed_private_key_leaves_only_the_preshared_one(tmp_path: Path, reach: Reach) -> None:
    with serving(tmp_path) as served:
        reach(served)
        served.wg("set", "wg0", "private-key", "/dev/null")
        assert served.comes_to({"preshared key": {"raw"}})


@pytest.fixture
def _core_files() -> None:
    """Where core files go elsewhere, that none is found says nothing. With CI=true a skip is a failure."""
    if not kernel_writes_files():
        pytest.skip("core files go elsewhere here: sysctl kernel.core_pattern=core")


@pytest.mark.usefixtures("_core_files")
def test_a_crash_leaves_no_core_file(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        served.establish()
        assert by_kernel(served.process, tmp_path) is None


@pytest.mark.usefixtures("_core_files")
def test_a_crash_that_may_leave_a_core_file_leaves_no_key_in_it(tmp_path: Path) -> None:
    with serving(tmp_path, WIREWRIGHT_CORE_FILES="1") as served:
        served.establish()
        content = by_kernel(served.process, tmp_path)
        assert content is not None
        # What is not protected is there.
        assert served.peer.public in content
        assert found_in([content], served.peer.secrets) == {}
