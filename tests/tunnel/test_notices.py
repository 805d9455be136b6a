"""What peers do while the loop is busy: nobody's handshake is lost in another's news."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, ip_interface, ip_network
from secrets import token_bytes

import pytest

from wirewright.config import Config, Interface, Peer
from wirewright.keys import PublicKey, SecretKey
from wirewright.spec import handshake, messages, primitives, timestamps, transport
from wirewright.tunnel import Tunnel

pytestmark = pytest.mark.anyio

TUNNEL = IPv4Address("10.9.0.1")
# Seconds that something may take that happens at once.
PATIENCE = 30


class Remote:
    """A peer by the specification, which needs no loop, and speaks from as many sockets as it likes."""

    def __init__(self, address: str) -> None:
        self.address = IPv4Address(address)
        self.private = token_bytes(32)
        self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for each in self.sockets:
            each.bind(("127.0.0.1", 0))
            each.settimeout(PATIENCE)
        self.sent = 0

    @property
    def key(self) -> PublicKey:
        return PublicKey.from_hex(primitives.public_key(self.private).hex())

    def connect(self, port: int, tunnels_public: bytes) -> None:
        self.port = port
        message, awaiting = handshake.create_initiation(
            static_private=self.private,
            responder_public=tunnels_public,
            ephemeral_private=token_bytes(32),
            timestamp=timestamps.tai64n(1_700_000_000, 0),
            sender=1,
        )
        self.sockets[0].sendto(message.encode(), ("127.0.0.1", port))
        response = messages.Response.decode(self.sockets[0].recv(2048))
        self.session = handshake.open_response(response, awaiting)

    def echo(self) -> None:
        """Be answered by the tunnel, each time at another endpoint."""
        here = self.sockets[self.sent % len(self.sockets)]
        sealed = transport.seal(self.session, self.sent, echo_request(self.address))
        self.sent += 1
        here.sendto(sealed.encode(), ("127.0.0.1", self.port))
        reply = transport.unseal(self.session, messages.Data.decode(here.recv(2048)))
        assert IPv4Address(reply[16:20]) == self.address

    def close(self) -> None:
        for each in self.sockets:
            each.close()


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(source: IPv4Address) -> bytes:
    message = struct.pack("!BBHHH", 8, 0, 0, 1, 1)
    message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    head = (
        struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(message), 0, 0, 64, 1, 0) + source.packed + TUNNEL.packed
    )
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + message


async def test_a_peer_that_changes_its_address_without_end_pushes_out_no_handshake() -> None:
    quiet, restless = Remote("10.9.0.2"), Remote("10.9.0.3")
    key = SecretKey.generate()
    peers = tuple(Peer(remote.key, allowed_ips=(ip_network(remote.address),)) for remote in (quiet, restless))
    config = Config(Interface(private_key=key, addresses=(ip_interface(f"{TUNNEL}/24"),)), peers)
    async with Tunnel(config, listen_address="127.0.0.1") as tunnel:
        # From here on the loop is busy, and hears of nothing.
        for remote in (quiet, restless):
            remote.connect(tunnel.listen_port, bytes(key.public_key))
            remote.echo()
        for _ in range(1_200):
            restless.echo()
        await tunnel.wait_for_handshake(quiet.key, timeout=PATIENCE)
        await tunnel.wait_for_handshake(restless.key, timeout=PATIENCE)
    quiet.close()
    restless.close()
