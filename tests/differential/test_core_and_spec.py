"""The core against the executable specification: the same inputs and randomness, and the same bytes.

The core draws from a recorded source. A draw of four bytes is an index or jitter, one of 32 an ephemeral key,
one of 24 a cookie reply's nonce; the specification is given exactly those.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirewright.keys import PresharedKey, PublicKey, SecretKey
from wirewright.sim import Network, Node
from wirewright.sim.node import ipv4
from wirewright.spec import cookies, handshake, messages, primitives, timestamps, transport

PEER = ("198.51.100.7", 1234)
INNER = "10.9.9.9"

keys = st.binary(min_size=32, max_size=32)


@dataclass
class Oracle:
    """A peer of the core's device, made of the specification."""

    private: bytes
    preshared: bytes = bytes(32)

    @property
    def public(self) -> bytes:
        return primitives.public_key(self.private)


class Setting:
    """A device of the core and an oracle that are peers."""

    def __init__(self, private: bytes, preshared: bytes, shards: int) -> None:
        self.network = Network(shards=shards)
        self.node = self.network.add("core")
        self.oracle = Oracle(private, preshared)
        self.node.device.set_peer(
            *self.network.clocks,
            PublicKey.from_base64(text(self.oracle.public)),
            preshared_key=PresharedKey.from_base64(text(preshared)),
            endpoint=PEER,
            allowed_ips=[f"{INNER}/32"],
        )
        self.node.random.take()

    @property
    def core_private(self) -> bytes:
        return base64.b64decode(self.node.private_key.expose())

    def timestamp(self) -> bytes:
        """Give what the core's clock says, rounded down to 2^24 ns as the kernel does."""
        seconds, nanoseconds = divmod(self.network.clocks[1], 1_000_000_000)
        return timestamps.tai64n(seconds, nanoseconds >> 24 << 24)

    def emit(self) -> list[bytes]:
        """Give the datagrams that the core has sent since the last call."""
        self.network.carry()
        sent = [datagram.payload for datagram in self.network.tap]
        self.network.tap.clear()
        return sent

    def send(self, payload: bytes) -> bytes:
        packet = ipv4(self.node.inner, INNER, payload)
        self.node.device.send(*self.network.clocks, packet)
        return packet

    def draws(self, length: int) -> Iterator[bytes]:
        return iter([draw for draw in self.node.random.take() if len(draw) == length])

    def core_initiates(self) -> tuple[bytes, handshake.AwaitingResponse, bytes]:
        """Let the core begin; give its initiation, the oracle's state after it, and the staged packet."""
        packet = self.send(b"staged")
        (initiation,) = self.emit()
        (ephemeral,) = self.draws(32)
        expected, awaiting = handshake.create_initiation(
            static_private=self.core_private,
            responder_public=self.oracle.public,
            ephemeral_private=ephemeral,
            timestamp=self.timestamp(),
            sender=messages.Initiation.decode(initiation).sender,
        )
        assert initiation == expected.encode()
        return initiation, awaiting, packet


def text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@given(private=keys, preshared=keys, ephemeral=keys, shards=st.sampled_from([1, 4]))
def test_a_handshake_that_the_core_begins(
    private: bytes, preshared: bytes, ephemeral: bytes, shards: int
) -> None:
    setting = Setting(private, preshared, shards)
    initiation, _, packet = setting.core_initiates()
    opened = handshake.open_initiation(messages.Initiation.decode(initiation), static_private=private)
    assert opened.initiator_public == bytes(setting.node.public_key)
    response, session = handshake.create_response(
        opened, ephemeral_private=ephemeral, sender=77, preshared_key=preshared
    )
    setting.network.inject(setting.node, response.encode(), PEER)
    (data,) = setting.emit()
    mirrored = mirror(session)
    assert data == transport.seal(mirrored, 0, packet, mtu=1420).encode()


@given(
    private=keys, preshared=keys, ephemeral=keys, shards=st.sampled_from([1, 4]), size=st.integers(0, 1400)
)
def test_a_handshake_that_the_core_answers(
    private: bytes, preshared: bytes, ephemeral: bytes, shards: int, size: int
) -> None:
    setting = Setting(private, preshared, shards)
    initiation, awaiting = handshake.create_initiation(
        static_private=private,
        responder_public=bytes(setting.node.public_key),
        ephemeral_private=ephemeral,
        timestamp=timestamps.tai64n(1_700_000_000, 0),
        sender=4711,
    )
    setting.network.inject(setting.node, initiation.encode(), PEER)
    (response,) = setting.emit()
    (core_ephemeral,) = setting.draws(32)
    opened = handshake.open_initiation(initiation, static_private=setting.core_private)
    expected, core_session = handshake.create_response(
        opened,
        ephemeral_private=core_ephemeral,
        sender=messages.Response.decode(response).sender,
        preshared_key=preshared,
    )
    assert response == expected.encode()

    session = handshake.open_response(messages.Response.decode(response), awaiting, preshared_key=preshared)
    confirmation = transport.seal(session, 0, b"").encode()
    setting.network.inject(setting.node, confirmation, PEER)
    packet = setting.send(bytes(size))
    (data,) = setting.emit()
    assert data == transport.seal(core_session, 0, packet, mtu=1420).encode()


@pytest.mark.parametrize("shards", [1, 4])
def test_a_cookie_reply_of_the_core(shards: int) -> None:
    setting = Setting(bytes(range(32)), bytes(32), shards)
    initiation, _ = handshake.create_initiation(
        static_private=setting.oracle.private,
        responder_public=bytes(setting.node.public_key),
        ephemeral_private=bytes(range(1, 33)),
        timestamp=timestamps.tai64n(1_700_000_000, 0),
        sender=4711,
    )
    clocks, device = setting.network.clocks, setting.node.device
    while device.counters["cookie_sent"] == 0:
        device.receive_batch(*clocks, [initiation.encode()] * 64, PEER)
    reply = messages.CookieReply.decode(setting.emit()[0])
    nonce = next(setting.draws(24))
    own = bytes(setting.node.public_key)
    cookie = cookies.open_cookie_reply(reply, peer_public=own, mac1_sent=initiation.mac1)
    assert reply == cookies.create_cookie_reply(initiation, own_public=own, cookie=cookie, nonce=nonce)

    # And what the specification makes of the cookie satisfies the core.
    again, _ = handshake.create_initiation(
        static_private=setting.oracle.private,
        responder_public=own,
        ephemeral_private=bytes(range(2, 34)),
        timestamp=timestamps.tai64n(1_700_000_001, 0),
        sender=4712,
        cookie=cookie,
    )
    before = device.counters["missing_mac2"]
    device.receive_batch(*clocks, [again.encode()], PEER)
    assert device.counters["missing_mac2"] == before


@given(private=keys, cookie=st.binary(min_size=16, max_size=16), nonce=st.binary(min_size=24, max_size=24))
def test_a_cookie_that_the_core_is_given(private: bytes, cookie: bytes, nonce: bytes) -> None:
    setting = Setting(private, bytes(32), 1)
    initiation, _, _ = setting.core_initiates()
    reply = cookies.create_cookie_reply(
        messages.Initiation.decode(initiation), own_public=setting.oracle.public, cookie=cookie, nonce=nonce
    )
    setting.network.inject(setting.node, reply.encode(), PEER)
    assert setting.node.device.counters["cookie_received"] == 1
    setting.node.random.take()
    setting.network.run(6)
    (repeated,) = setting.emit()
    decoded = messages.Initiation.decode(repeated)
    assert decoded.mac2 == cookies.mac2(decoded, cookie)


def mirror(session: handshake.Session) -> handshake.Session:
    """Give the session as the other side has it."""
    return handshake.Session(
        local_index=session.remote_index,
        remote_index=session.local_index,
        sending_key=session.receiving_key,
        receiving_key=session.sending_key,
    )


def test_a_low_order_key_is_taken_and_never_shakes_hands() -> None:
    network = Network()
    node: Node = network.add("core")
    low = PublicKey.from_base64(text(bytes(32)))
    node.device.set_peer(*network.clocks, low, endpoint=PEER, allowed_ips=[f"{INNER}/32"])
    node.device.send(*network.clocks, ipv4(node.inner, INNER, b"x"))
    network.carry()
    assert network.tap == []
    assert node.device.counters["handshake_impossible"] == 1
    assert SecretKey.generate().public_key != low
