"""What is left of a tunnel's keys in memory: nothing, once it is closed, or in a forked child."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from secrets import token_bytes

import pytest

from tests.core.other_end import Peer, Tunnel, tunnel_with_peer
from tests.memory import found, holds, private_halves
from wirewright.spec import primitives

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc to look at memory through")

# What the tunnel's process does, an order a line. It answers with a number, mostly its own.
TUNNEL = """
import os, signal, sys, threading
from wirewright.keys import PublicKey
from wirewright.tunnel import BlockingTunnel

tunnel = BlockingTunnel.from_file(sys.argv[1], listen_address="127.0.0.1")
tunnel.open()
peer = PublicKey.from_hex(sys.argv[2])
for line in sys.stdin:
    answer = os.getpid()
    match line.strip():
        case "port":
            answer = tunnel.listen_port
        case "begin":
            waiting = threading.Thread(target=tunnel.wait_for_handshake, args=(peer,))
            waiting.start()
        case "finish":
            waiting.join()
        case "remove":
            tunnel.remove_peer(peer)
        case "close":
            tunnel.close()
        case "fork":
            if os.fork():
                continue  # The child answers, once it is one.
            assert tunnel.closed
            print(os.getpid(), flush=True)
            signal.pause()
    print(answer, flush=True)
"""

# The same in virtual time, over a real socket: "wait" lets ten seconds pass, "hear" one datagram arrive.
VIRTUAL = """
import os, socket, sys
from wirewright._core import VirtualDevice
from wirewright.config import Config

now, wall = 1_000_000_000, 1_700_000_000_000_000_000
device = VirtualDevice(os.urandom)
config = Config.from_file(sys.argv[1])
device.set_private_key(now, wall, config.interface.private_key)
[peer] = config.peers
endpoint = peer.endpoint.host, peer.endpoint.port
settings = {"preshared_key": peer.preshared_key, "endpoint": endpoint, "allowed_ips": ["::/0"]}
device.set_peer(now, wall, peer.public_key, **settings)
del config, peer, settings
outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
outer.bind(("127.0.0.1", 0))
for line in sys.stdin:
    match line.strip():
        case "begin":
            device.send(now, wall, bytes([0x60]) + bytes(39))
        case "hear":
            device.receive(now, wall, *outer.recvfrom(2048))
        case "wait":
            end = now + 10_000_000_000
            while device.deadline is not None and device.deadline <= end:
                now = max(now, device.deadline)
                device.tick(now, wall)
            now = end
    for kind, *what in device.actions():
        if kind == "datagram":
            outer.sendto(*what)
    print(os.getpid(), flush=True)
"""

CONFIGURED = {"private key": {"raw"}, "preshared key": {"raw"}, "static-static": {"raw"}}
OF_AN_INITIATION = {"ephemeral key": {"raw"}, "chaining key of initiation 1": {"raw"}}
OF_A_SESSION = {"sending key": {"raw"}, "receiving key": {"raw"}}

Reach = Callable[[Tunnel, Peer], None]


def begin(tunnel: Tunnel, peer: Peer) -> None:
    """Let the tunnel begin a handshake."""
    tunnel.tell("begin")
    peer.hear_initiation()


def establish(tunnel: Tunnel, peer: Peer) -> None:
    """Let the tunnel begin a handshake, and end it."""
    begin(tunnel, peer)
    peer.respond()
    tunnel.tell("finish")
    peer.exchange_keepalives()


def test_the_search_finds_every_form_of_a_key() -> None:
    key = token_bytes(32)
    program = (
        "import base64, sys\nraw = bytes.fromhex(text := input())\ncoded = base64.b64encode(raw)\ninput()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert holds(process.pid, key) == set()
        process.stdin.write(f"{key.hex()}\n")
        process.stdin.flush()
        end = time.monotonic() + 30
        while (forms := holds(process.pid, key)) != {"raw", "hex", "base64"}:
            assert time.monotonic() < end, forms
        assert private_halves(process.pid, [primitives.public_key(key)]) == {primitives.public_key(key): key}
        process.stdin.write("\n")


def test_a_finished_handshake_leaves_only_the_keys_of_its_session(tmp_path: Path) -> None:
    with tunnel_with_peer(TUNNEL, tmp_path) as (tunnel, peer):
        begin(tunnel, peer)
        with tunnel.at_rest():
            [peer.secrets["ephemeral key"]] = tunnel.ephemerals()
            assert tunnel.holds() == CONFIGURED | OF_AN_INITIATION
            peer.respond()
        tunnel.tell("finish")
        peer.exchange_keepalives()
        assert tunnel.holds() == CONFIGURED | OF_A_SESSION


def test_an_answered_handshake_leaves_only_the_keys_of_its_session(tmp_path: Path) -> None:
    with tunnel_with_peer(TUNNEL, tmp_path) as (tunnel, peer):
        peer.initiate(tunnel.tell("port"))
        peer.exchange_keepalives()
        assert tunnel.holds() == CONFIGURED | OF_A_SESSION
        assert tunnel.ephemerals() == []
        tunnel.tell("close")
        assert tunnel.holds() == {}


@pytest.mark.parametrize("reach", [begin, establish])
def test_a_closed_tunnel_leaves_no_key(tmp_path: Path, reach: Reach) -> None:
    with tunnel_with_peer(TUNNEL, tmp_path) as (tunnel, peer):
        reach(tunnel, peer)
        tunnel.tell("close")
        assert tunnel.holds() == {}
        assert tunnel.ephemerals() == []


@pytest.mark.parametrize("reach", [begin, establish])
def test_a_removed_peer_leaves_only_the_private_key(tmp_path: Path, reach: Reach) -> None:
    with tunnel_with_peer(TUNNEL, tmp_path) as (tunnel, peer):
        reach(tunnel, peer)
        tunnel.tell("remove")
        assert tunnel.holds() == {"private key": {"raw"}}


@pytest.mark.parametrize("reach", [begin, establish])
def test_a_forked_child_has_no_key_and_the_parent_keeps_them(tmp_path: Path, reach: Reach) -> None:
    with tunnel_with_peer(TUNNEL, tmp_path) as (tunnel, peer):
        reach(tunnel, peer)
        child = tunnel.tell("fork")
        try:
            peer.hear_what_was_repeated()
            assert found(child, peer.secrets) == {}
        finally:
            os.kill(child, signal.SIGKILL)
        assert tunnel.holds().keys() >= CONFIGURED.keys()


def test_what_nobody_used_for_nine_minutes_is_wiped_though_the_tunnel_stays_open(tmp_path: Path) -> None:
    with tunnel_with_peer(VIRTUAL, tmp_path) as (tunnel, peer):
        tunnel.tell("begin")
        peer.hear_initiation()
        peer.respond()
        tunnel.tell("hear")
        peer.exchange_keepalives()
        tunnel.tell("hear")
        for _ in range(53):
            tunnel.tell("wait")
        assert tunnel.holds() == CONFIGURED | OF_A_SESSION
        tunnel.tell("wait")
        assert tunnel.holds() == CONFIGURED
