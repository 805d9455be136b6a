"""What is left of a tunnel's keys in memory: nothing, once it is closed, or in a forked child.

The tunnel runs in a process of its own. This one is its peer, by the specification, and so knows what both
ends know: it derives the same secrets and searches for them. Only the private halves of the tunnel's
ephemeral keys are known to nobody else; they are searched for by their public halves, which come over the
wire.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_bytes

import pytest

from tests.memory import found, holds, private_halves
from wirewright.spec import handshake, messages, primitives, timestamps, transport

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


# The peer's receiver indices, in each of its parts.
INITIATOR, RESPONDER = 1, 2


class Peer:
    """The other end: a socket, the specification, and all secrets of the conversation so far."""

    def __init__(self) -> None:
        self.private, self.preshared, tunnels_private = (token_bytes(32) for _ in range(3))
        self.public, self.tunnels_public = map(primitives.public_key, (self.private, tunnels_private))
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(30)
        self.secrets = {
            "private key": tunnels_private,
            "preshared key": self.preshared,
            "static-static": primitives.dh(tunnels_private, self.public),
        }
        self.ephemerals: list[bytes] = []

    def configuration(self) -> str:
        def text(key: bytes) -> str:
            return b64encode(key).decode()

        return (
            f"[Interface]\nPrivateKey = {text(self.secrets['private key'])}\nAddress = 10.0.0.1/24\n"
            f"[Peer]\nPublicKey = {text(self.public)}\nPresharedKey = {text(self.preshared)}\n"
            f"Endpoint = 127.0.0.1:{self.socket.getsockname()[1]}\nAllowedIPs = 10.0.0.2/32\n"
        )

    def hear_initiation(self) -> None:
        datagram, self.address = self.socket.recvfrom(2048)
        message = messages.Initiation.decode(datagram)
        self.opened = handshake.open_initiation(message, static_private=self.private)
        self.ephemerals.append(message.ephemeral)
        number = len(self.ephemerals)
        self.secrets |= {
            f"es {number}": primitives.dh(self.private, message.ephemeral),
            f"chaining key of initiation {number}": self.opened.chaining_key,
        }

    def hear_what_was_repeated(self) -> None:
        """Read initiations that were sent again, each with keys of its own."""
        self.socket.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                self.hear_initiation()

    def respond(self) -> None:
        ephemeral = token_bytes(32)
        response, self.session = handshake.create_response(
            self.opened, ephemeral_private=ephemeral, sender=RESPONDER, preshared_key=self.preshared
        )
        self.socket.sendto(response.encode(), self.address)
        self._learn(
            ephemeral_public=primitives.public_key(ephemeral),
            chaining_key=self.opened.chaining_key,
            ee=primitives.dh(ephemeral, self.opened.initiator_ephemeral),
            se=primitives.dh(ephemeral, self.opened.initiator_public),
        )

    def initiate(self, port: int) -> None:
        self.address = "127.0.0.1", port
        ephemeral = token_bytes(32)
        message, awaiting = handshake.create_initiation(
            static_private=self.private,
            responder_public=self.tunnels_public,
            ephemeral_private=ephemeral,
            timestamp=timestamps.tai64n(1_700_000_000, 0),
            sender=INITIATOR,
        )
        self.socket.sendto(message.encode(), self.address)
        response = messages.Response.decode(self.socket.recv(2048))
        self.session = handshake.open_response(response, awaiting, preshared_key=self.preshared)
        self.ephemerals.append(response.ephemeral)
        self.secrets |= {
            "es 1": primitives.dh(ephemeral, self.tunnels_public),
            "chaining key of initiation 1": awaiting.chaining_key,
        }
        self._learn(
            ephemeral_public=response.ephemeral,
            chaining_key=awaiting.chaining_key,
            ee=primitives.dh(ephemeral, response.ephemeral),
            se=primitives.dh(self.private, response.ephemeral),
        )

    def exchange_keepalives(self) -> None:
        """Make the tunnel open a packet, and hear one that it sealed, if it begins."""
        self.socket.sendto(transport.seal(self.session, 0, b"").encode(), self.address)
        if self.session.local_index == RESPONDER:
            transport.unseal(self.session, messages.Data.decode(self.socket.recv(2048)))

    def _learn(self, *, ephemeral_public: bytes, chaining_key: bytes, ee: bytes, se: bytes) -> None:
        c = primitives.kdf1(primitives.kdf1(primitives.kdf1(chaining_key, ephemeral_public), ee), se)
        last, _, kappa = primitives.kdf3(c, self.preshared)
        assert primitives.kdf2(last, b"")[0] in (self.session.sending_key, self.session.receiving_key)
        self.secrets |= {
            "ee": ee,
            "se": se,
            "chaining key before the preshared key": c,
            "chaining key of the response": last,
            "key of the response": kappa,
            "sending key": self.session.receiving_key,
            "receiving key": self.session.sending_key,
        }


class Tunnel:
    """The process with the tunnel."""

    def __init__(self, peer: Peer, path: Path) -> None:
        self.peer = peer
        path.write_text(peer.configuration())
        path.chmod(0o600)
        self.process = subprocess.Popen(
            [sys.executable, "-c", TUNNEL, str(path), peer.public.hex()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, order: str) -> int:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Stop the process for a while: a handshake that is not answered begins anew after five seconds."""
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)
        yield
        os.kill(self.process.pid, signal.SIGCONT)

    def holds(self) -> dict[str, set[str]]:
        """Tell which secrets are in memory, and in which forms."""
        self.peer.hear_what_was_repeated()
        return found(self.process.pid, self.peer.secrets)

    def ephemerals(self) -> list[bytes]:
        """Search for private halves of the ephemeral keys that the tunnel has shown."""
        return list(private_halves(self.process.pid, self.peer.ephemerals).values())


Reach = Callable[[Tunnel, Peer], None]


@contextmanager
def tunnel_with_peer(tmp_path: Path) -> Iterator[tuple[Tunnel, Peer]]:
    peer = Peer()
    tunnel = Tunnel(peer, tmp_path / "wg0.conf")
    with tunnel.process, peer.socket:
        try:
            yield tunnel, peer
        finally:
            tunnel.process.kill()


def begin(tunnel: Tunnel, peer: Peer) -> None:
    """Let the tunnel begin a handshake, and find its ephemeral key while it waits for the response."""
    tunnel.tell("begin")
    peer.hear_initiation()
    with tunnel.at_rest():
        [peer.secrets["ephemeral key"]] = tunnel.ephemerals()
        assert tunnel.holds() == CONFIGURED | OF_AN_INITIATION


def establish(tunnel: Tunnel, peer: Peer) -> None:
    """Let the tunnel begin a handshake, and end it."""
    tunnel.tell("begin")
    peer.hear_initiation()
    with tunnel.at_rest():
        [peer.secrets["ephemeral key"]] = tunnel.ephemerals()
        peer.respond()
    tunnel.tell("finish")
    peer.exchange_keepalives()


CONFIGURED = {"private key": {"raw"}, "preshared key": {"raw"}, "static-static": {"raw"}}
OF_AN_INITIATION = {"ephemeral key": {"raw"}, "chaining key of initiation 1": {"raw"}}
OF_A_SESSION = {"sending key": {"raw"}, "receiving key": {"raw"}}


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
    with tunnel_with_peer(tmp_path) as (tunnel, peer):
        establish(tunnel, peer)
        assert tunnel.holds() == CONFIGURED | OF_A_SESSION
        assert tunnel.ephemerals() == []


def test_an_answered_handshake_leaves_only_the_keys_of_its_session(tmp_path: Path) -> None:
    with tunnel_with_peer(tmp_path) as (tunnel, peer):
        peer.initiate(tunnel.tell("port"))
        peer.exchange_keepalives()
        assert tunnel.holds() == CONFIGURED | OF_A_SESSION
        assert tunnel.ephemerals() == []
        tunnel.tell("close")
        assert tunnel.holds() == {}


@pytest.mark.parametrize("reach", [begin, establish])
def test_a_closed_tunnel_leaves_no_key(tmp_path: Path, reach: Reach) -> None:
    with tunnel_with_peer(tmp_path) as (tunnel, peer):
        reach(tunnel, peer)
        tunnel.tell("close")
        assert tunnel.holds() == {}
        assert tunnel.ephemerals() == []


@pytest.mark.parametrize("reach", [begin, establish])
def test_a_removed_peer_leaves_only_the_private_key(tmp_path: Path, reach: Reach) -> None:
    with tunnel_with_peer(tmp_path) as (tunnel, peer):
        reach(tunnel, peer)
        tunnel.tell("remove")
        assert tunnel.holds() == {"private key": {"raw"}}


@pytest.mark.parametrize("reach", [begin, establish])
def test_a_forked_child_has_no_key_and_the_parent_keeps_them(tmp_path: Path, reach: Reach) -> None:
    with tunnel_with_peer(tmp_path) as (tunnel, peer):
        reach(tunnel, peer)
        child = tunnel.tell("fork")
        try:
            peer.hear_what_was_repeated()
            assert found(child, peer.secrets) == {}
        finally:
            os.kill(child, signal.SIGKILL)
        assert tunnel.holds().keys() >= CONFIGURED.keys()
