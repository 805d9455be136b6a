"""A process with a tunnel, and its peer: this process, by the specification.

The peer knows what both ends know, and so can search the tunnel's memory for every secret that they share.
Only the private halves of the tunnel's ephemeral keys are known to nobody else; they are searched for by
their public halves, which come over the wire.
"""

import os
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_bytes

from tests.memory import found, private_halves
from wirewright.spec import handshake, messages, primitives, timestamps, transport

# The peer's receiver indices, in each of its parts.
INITIATOR, RESPONDER = 1, 2
# Seconds that something may take that happens at once.
PATIENCE = 30


class Peer:
    """The other end: a socket, the specification, and all secrets of the conversation so far."""

    def __init__(self, outer: socket.socket | None = None) -> None:
        self.private, self.preshared, tunnels_private = (token_bytes(32) for _ in range(3))
        self.public, self.tunnels_public = map(primitives.public_key, (self.private, tunnels_private))
        if outer is None:
            outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            outer.bind(("127.0.0.1", 0))
        self.socket = outer
        self.socket.settimeout(PATIENCE)
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
        self._take(*self.socket.recvfrom(2048))

    def hear_what_was_repeated(self) -> None:
        """Read initiations that were sent again, each with keys of its own."""
        self.socket.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                datagram, address = self.socket.recvfrom(2048)
                if isinstance(messages.decode(datagram), messages.Initiation):
                    self._take(datagram, address)
        self.socket.settimeout(PATIENCE)

    def _take(self, datagram: bytes, address: tuple[str, int]) -> None:
        self.address = address
        message = messages.Initiation.decode(datagram)
        self.opened = handshake.open_initiation(message, static_private=self.private)
        self.ephemerals.append(message.ephemeral)
        number = len(self.ephemerals)
        self.secrets |= {
            f"es {number}": primitives.dh(self.private, message.ephemeral),
            f"chaining key of initiation {number}": self.opened.chaining_key,
        }

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
    """A process with a tunnel, which does what it is told."""

    def __init__(self, program: str, peer: Peer, path: Path) -> None:
        self.peer = peer
        path.write_text(peer.configuration())
        path.chmod(0o600)
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(path), peer.public.hex()],
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


@contextmanager
def tunnel_with_peer(program: str, directory: Path) -> Iterator[tuple[Tunnel, Peer]]:
    """Run a program that has a tunnel to a peer; it is given a configuration and the peer's public key."""
    peer = Peer()
    tunnel = Tunnel(program, peer, directory / "wg0.conf")
    with tunnel.process, peer.socket:
        try:
            yield tunnel, peer
        finally:
            tunnel.process.kill()
