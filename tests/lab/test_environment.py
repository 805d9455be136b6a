"""What `wirewright-tun` is given by its environment: descriptors, and how much it tells."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.nodes import INNER, OURS, Node, cable, peer_section, until
from wirewright.keys import PresharedKey
from wirewright.lab import Lab, Machine

SOCKET = "/var/run/wireguard/wg0.sock"

# Become the command, with a descriptor of which a variable tells.
GIVE = (
    "import fcntl, os, socket, struct, sys\n"
    "what, variable, command, *words = sys.argv[1:]\n"
    "if what == 'listener':\n"
    f"    s = socket.socket(socket.AF_UNIX); s.bind('{SOCKET}'); s.listen(); number = s.detach()\n"
    "elif what == 'socket':\n"
    "    number = socket.socket(socket.AF_UNIX).detach()\n"
    "elif what == 'file':\n"
    "    number = os.open('/dev/null', os.O_RDWR)\n"
    "else:\n"
    "    number = os.open('/dev/net/tun', os.O_RDWR)\n"
    "    flags = int(what, 16)\n"
    "    if flags: fcntl.ioctl(number, 0x400454ca, struct.pack('16sH22x', b'given0', flags))\n"
    "os.set_inheritable(number, True)\n"
    "os.environ[variable] = str(number)\n"
    "os.execv(command, [command, *words])\n"
)
# IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, and without the last.
WHOLE, BARE = "5001", "1001"


def given(machine: Machine, what: str, variable: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Start the command with such a descriptor."""
    return machine.python(GIVE, what, variable, OURS, *words, check=False, timeout=20)


def send(machine: Machine, text: str) -> str:
    """Send a request as it is; return the answer."""
    return machine.python(
        "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.settimeout(10)\n"
        f"s.connect('{SOCKET}')\ns.sendall(sys.argv[1].encode())\ns.shutdown(socket.SHUT_WR)\nprint(s.makefile().read())",
        text,
    ).stdout


# Descriptors.


def test_a_socket_that_listens_already_is_served_and_its_file_goes_in_the_end() -> None:
    with Lab(cable()) as lab:
        a, b = (Node(lab[host], inner) for host, inner in zip("ab", INNER, strict=True))
        b.start().setconf(peer_section(a))
        started = given(lab["a"], "listener", "WG_UAPI_FD", "wg0")
        assert (started.returncode, started.stderr) == (0, "")
        a.bring_up()
        a.setconf(peer_section(b, endpoint="192.0.2.2"))
        a.ping("10.7.0.2")
        lab["a"].kill("wirewright-tun", signal.SIGTERM)
        until(a.is_gone, "interface and socket are gone")


def test_removing_the_file_of_a_socket_that_was_given_ends_it() -> None:
    with Lab(cable()) as lab:
        assert given(lab["a"], "listener", "WG_UAPI_FD", "wg0").returncode == 0
        lab["a"].run("rm", SOCKET)
        until(Node(lab["a"]).is_gone, "the interface is gone")
        until(lambda: not lab["a"].processes("wirewright-tun"), "the process has ended")


def test_a_tun_that_was_given_keeps_its_own_name() -> None:
    with Lab(cable()) as lab:
        started = given(lab["a"], WHOLE, "WG_TUN_FD", "wg0")
        assert (started.returncode, started.stderr) == (0, "")
        a = Node(lab["a"], INNER[0], name="given0")
        a.bring_up()
        a.setconf()
        assert a.wg("show", "listen-port").strip() == "51820"


@pytest.mark.parametrize(
    ("what", "variable", "words"),
    [
        ("socket", "WG_UAPI_FD", "is not a Unix stream socket that listens"),
        ("file", "WG_UAPI_FD", "is not a Unix stream socket that listens"),
        ("file", "WG_TUN_FD", "is not a TUN device"),
        ("socket", "WG_TUN_FD", "is not a TUN device"),
        ("0", "WG_TUN_FD", "is not a TUN device"),
        (BARE, "WG_TUN_FD", "IFF_VNET_HDR"),
    ],
)
def test_a_descriptor_of_something_else_is_told(what: str, variable: str, words: str) -> None:
    with Lab(cable()) as lab:
        started = given(lab["a"], what, variable, "wg0")
        assert started.returncode == 1
        assert started.stderr.startswith(f"wirewright-tun: wg0: the descriptor in {variable} ")
        assert words in started.stderr
        assert Node(lab["a"]).is_gone()


# What is told.


@contextlib.contextmanager
def logging(lab: Lab, path: Path, level: str | None) -> Iterator[Node]:
    """Serve an interface in the foreground of a, whose log goes to a file."""
    environment = {} if level is None else {"LOG_LEVEL": level}
    with path.open("wb") as log:
        process = lab["a"].popen(OURS, "-f", "wg0", env=environment, stderr=log)
    until(lambda: "wg0.sock" in lab["a"].run("ls", "/var/run/wireguard").stdout, "it serves")
    yield Node(lab["a"], INNER[0])
    lab["a"].kill("wirewright-tun", signal.SIGTERM)
    assert process.wait(20) == 0


def test_a_verbose_log_tells_what_happens_and_no_key(tmp_path: Path) -> None:
    path, shared, secret = tmp_path / "log", PresharedKey.generate(), "5" * 63 + "g"
    with Lab(cable()) as lab, logging(lab, path, "debug") as a:
        b = Node(lab["b"], INNER[1]).start()
        a.setconf(peer_section(b, endpoint="192.0.2.2", preshared_key=shared))
        b.setconf(peer_section(a, preshared_key=shared))
        a.bring_up()
        a.ping("10.7.0.2")
        lab["a"].run("ip", "link", "set", "wg0", "mtu", "1300")
        a.wg("set", "listen-port", "51999")
        lab["a"].run("ip", "link", "set", "wg0", "down")
        assert "errno=-22" in send(lab["a"], f"set=1\nprivate_key={secret}\n\n")
        assert "errno=-22" in send(lab["a"], f"set=1\n{secret}=1\n\n")
        until(lambda: "is down" in path.read_text(), "the state was told")
    text = path.read_text()
    short = f"{str(b.public_key)[:4]}…{str(b.public_key)[39:43]}"
    for words in (
        "served at /var/run/wireguard/wg0.sock, threads for packets: 1; super-packets of TCP",
        "the UDP port is 51820; trains of datagrams go out and come in\n",
        "the interface is up",
        f"peer {short}: handshake completed",
        "the MTU is 1300",
        "the UDP port is 51999",
        "the interface is down",
        "a request was refused: line 2: private_key does not take this value",
        "a request was refused: line 2: unknown key",
        "ends: it was told to end",
    ):
        assert f"wirewright-tun: wg0: {words}" in text
    for key in (a.key.expose(), b.key.expose(), shared.expose(), str(b.public_key), secret):
        assert key not in text


@pytest.mark.parametrize("level", [None, "error", "warning"])
def test_by_itself_the_log_tells_only_what_went_wrong(tmp_path: Path, level: str | None) -> None:
    path = tmp_path / "log"
    with Lab(cable()) as lab, logging(lab, path, level) as a:
        a.setconf()
        send(lab["a"], "set=1\nlisten_port=x\n\n")
    assert path.read_text() == (
        "wirewright-tun: wg0: a request was refused: line 2: listen_port does not take this value\n"
    )


@pytest.mark.parametrize("locked", [True, False])
def test_keys_that_cannot_be_locked_in_memory_are_told_once(tmp_path: Path, *, locked: bool) -> None:
    path = tmp_path / "log"
    # CAP_IPC_LOCK locks without a limit.
    limits = () if locked else ("prlimit", "--memlock=0", "setpriv", "--bounding-set=-ipc_lock")
    with Lab(cable()) as lab:
        with path.open("wb") as log:
            process = lab["a"].popen(*limits, OURS, "-f", "wg0", stderr=log)
        until(lambda: "wg0.sock" in lab["a"].run("ls", "/var/run/wireguard").stdout, "it serves")
        a = Node(lab["a"], INNER[0])
        a.setconf()
        a.setconf()
        lab["a"].kill("wirewright-tun", signal.SIGTERM)
        assert process.wait(20) == 0
    told = [line for line in path.read_text().splitlines() if "RLIMIT_MEMLOCK" in line]
    assert len(told) == (0 if locked else 1)
    assert all("LimitMEMLOCK" in line and "CAP_IPC_LOCK" in line for line in told)


def test_a_silent_one_tells_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with Lab(cable()) as lab, logging(lab, path, "silent"):
        assert "errno=-22" in send(lab["a"], "set=1\nlisten_port=x\n\n")
    assert path.read_text() == ""


@pytest.mark.parametrize(("level", "is_told"), [("error", True), ("", False), ("silent", False)])
def test_in_the_background_it_tells_only_who_asks(tmp_path: Path, level: str, *, is_told: bool) -> None:
    path = tmp_path / "log"
    with Lab(cable()) as lab:
        with path.open("wb") as log:
            # `run` captures what is said; this must not wait for the end of the interface.
            started = lab["a"].popen(
                OURS, "wg0", env={"LOG_LEVEL": level}, stdout=subprocess.PIPE, stderr=log
            )
        assert started.communicate(timeout=20)[0] == b""
        assert started.returncode == 0
        assert "errno=-22" in send(lab["a"], "set=1\nlisten_port=x\n\n")
        assert ("a request was refused" in path.read_text()) == is_told


def test_who_does_not_read_the_log_keeps_nobody_waiting() -> None:
    reading, writing = os.pipe()
    with Lab(cable()) as lab:
        process = lab["a"].popen(OURS, "-f", "wg0", env={"LOG_LEVEL": "verbose"}, stderr=writing)
        until(lambda: "wg0.sock" in lab["a"].run("ls", "/var/run/wireguard").stdout, "it serves")
        # An open file of its own, so that only our end does not wait for room.
        end = os.open(f"/proc/self/fd/{writing}", os.O_WRONLY | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(end, b"x")
        for _ in range(3):
            assert "errno=-22" in send(lab["a"], "set=1\nlisten_port=x\n\n")
        os.set_blocking(reading, False)
        said = drained(reading)
        assert b"a request was refused" not in said
        send(lab["a"], "set=1\nlisten_port=x\n\n")
        said = drained(reading)
        assert b"wirewright-tun: wg0: 3 lines were left out\n" in said
        assert b"a request was refused" in said
        lab["a"].kill("wirewright-tun", signal.SIGTERM)
        process.wait(20)
    for descriptor in (reading, writing, end):
        os.close(descriptor)


def test_without_a_standard_error_it_serves_and_tells_nobody() -> None:
    with Lab(cable()) as lab:
        process = lab["a"].popen("sh", "-c", 'exec "$0" -f wg0 <&- >&- 2>&-', OURS)
        until(lambda: "wg0.sock" in lab["a"].run("ls", "/var/run/wireguard").stdout, "it serves")
        (number,) = lab["a"].processes("wirewright-tun")
        places = [Path(f"/proc/{number}/fd/{descriptor}").readlink() for descriptor in range(3)]
        assert places == [Path(os.devnull)] * 3
        assert "errno=-22" in send(lab["a"], "set=1\nlisten_port=x\n\n")
        Node(lab["a"], INNER[0]).setconf()
        lab["a"].kill("wirewright-tun", signal.SIGTERM)
        assert process.wait(20) == 0


def drained(descriptor: int) -> bytes:
    """Return what a pipe holds."""
    pieces = []
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(descriptor, 1 << 16):
            pieces.append(piece)
    return b"".join(pieces)
