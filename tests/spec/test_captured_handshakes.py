"""Known answers: handshakes between real machines, recomputed byte for byte.

Wireshark's test suite contains two packet captures of WireGuard from 2018, `wireguard-ping-tcp.pcap` and
`wireguard-psk.pcap`, together with all private keys, ephemeral ones included, and the pre-shared keys. Given
those, the timestamps and the indices, everything else in the messages is determined. So the specification
computes them anew, and the SHA-256 of what it computes has to be that of the datagram in the capture. Both
roles are covered, with and without a pre-shared key.
"""

from base64 import b64decode
from dataclasses import dataclass
from hashlib import sha256

import pytest

from wirewright.spec.handshake import create_initiation, create_response, open_initiation, open_response
from wirewright.spec.primitives import public_key
from wirewright.spec.transport import ReplayWindow, receive, seal

ONE = b64decode("AKeZaHwBxjiKLFnkY2unvEdOTtg4AL+M9dQXfopFVFk=")
OTHER = b64decode("cFIxTUyBs1Qil414hBwEgvasEax8CKJ5IS5ZougplWs=")


@dataclass(frozen=True)
class Captured:
    """One handshake of a capture."""

    initiator: bytes
    responder: bytes
    initiator_ephemeral: str
    responder_ephemeral: str
    preshared_key: bytes
    timestamp: str
    initiator_index: int
    responder_index: int
    initiation_sha256: str
    response_sha256: str


HANDSHAKES = {
    "ping-tcp, frames 1 and 2": Captured(
        initiator=ONE,
        responder=OTHER,
        initiator_ephemeral="sLGLJSOQfyz7JNJ5ZDzFf3Uz1rkiCMMjbWerNYcPFFU=",
        responder_ephemeral="QC4/FZKhFf0b/eXEcCecmZNt6V6PXmRa4EWG1PIYTU4=",
        preshared_key=bytes(32),
        timestamp="400000005b52647b15405610",
        initiator_index=0x30D037D8,
        responder_index=0xAB7DF406,
        initiation_sha256="7c05d2abae51ab490a0ec6cd9f821c8162c0effcb85653e4f55a7b2213c4f567",
        response_sha256="e10dcff3e88f30ae9af0f097cbc83b273cf14874c9fdfbd830d0a57a5a5aa7b4",
    ),
    "ping-tcp, frames 13 and 14": Captured(
        initiator=ONE,
        responder=OTHER,
        initiator_ephemeral="ULv83D+y3vA0t2mgmTmWz++lpVsrP7i4wNaUEK2oX0E=",
        responder_ephemeral="sBv1dhsm63cbvWMv/XML+bvynBp9PTdY9Vvptu3HQlg=",
        preshared_key=bytes(32),
        timestamp="400000005b5265071d3ca7b4",
        initiator_index=0xBFFD41C5,
        responder_index=0x26DE9EB9,
        initiation_sha256="58a0c0f30828cea62cb9741133de1d8bec556b2eeb9ce61df07835c60b424af3",
        response_sha256="86e118ac361d9e6c9aec3300390649121ab527f9bccd3faa8eb067f6cd59e9f0",
    ),
    "psk, frames 1 and 2": Captured(
        initiator=ONE,
        responder=OTHER,
        initiator_ephemeral="iCv2VTi/BC/q0egU931KXrrQ4TSwXaezMgrhh7uCbXs=",
        responder_ephemeral="8G1N3LnEqYC7+NW/b6mqceVUIGBMAZSm+IpwG1U0j0w=",
        preshared_key=b"\xff" * 32,
        timestamp="400000005b60ed663156716e",
        initiator_index=0xC1039C02,
        responder_index=0xDCE3FA01,
        initiation_sha256="363a845e341fc1dcb471c0088764a1ab565766160828043a82fe65a79e9517b2",
        response_sha256="a12fc7a4861680869dd6bb1562e4e3d30a78feffdded33436881237a35ba21ec",
    ),
    "psk, frames 3 and 4": Captured(
        initiator=OTHER,
        responder=ONE,
        initiator_ephemeral="+MHo9sfkjPsjCx7lbVhRLDvMxYvTirOQFDSdzAW6kUQ=",
        responder_ephemeral="0G6t5j1B/We65MXVEBIGuRGYadwB2ITdvJovtAuATmc=",
        preshared_key=b"\x88" * 32,
        timestamp="400000005b60eec620bf51fc",
        initiator_index=0x81470AFF,
        responder_index=0x1860FCAA,
        initiation_sha256="85f0c8e7a9d17378e80f22eb69764701b4b3c28ba5078931fc1b383aab1c7175",
        response_sha256="4bc6020d6a96670b4ef463854a2b8e18967336c6327f5cb78165e401dcc74e67",
    ),
}


@pytest.mark.parametrize("captured", HANDSHAKES.values(), ids=HANDSHAKES.keys())
def test_the_specification_computes_the_datagrams_of_the_capture(captured: Captured) -> None:
    initiation, awaiting = create_initiation(
        static_private=captured.initiator,
        responder_public=public_key(captured.responder),
        ephemeral_private=b64decode(captured.initiator_ephemeral),
        timestamp=bytes.fromhex(captured.timestamp),
        sender=captured.initiator_index,
    )
    assert sha256(initiation.encode()).hexdigest() == captured.initiation_sha256

    opened = open_initiation(initiation, static_private=captured.responder)
    response, responders = create_response(
        opened,
        ephemeral_private=b64decode(captured.responder_ephemeral),
        sender=captured.responder_index,
        preshared_key=captured.preshared_key,
    )
    assert sha256(response.encode()).hexdigest() == captured.response_sha256

    initiators = open_response(response, awaiting, preshared_key=captured.preshared_key)
    assert initiators.sending_key == responders.receiving_key
    assert initiators.receiving_key == responders.sending_key


@pytest.mark.parametrize(
    ("name", "counter", "keepalive_sha256"),
    [
        (
            "ping-tcp, frames 1 and 2",
            3,
            "e9bfe15a15eee6aecb9ad08fc4d891ba711c06d14c9c473500675e45f3a16a9e",
        ),
        (
            "ping-tcp, frames 13 and 14",
            0,
            "74b66e383d018940895d67076b14b5872dce702381b872247bdd33bce186786c",
        ),
    ],
)
def test_the_specification_computes_the_keepalives_of_the_capture(
    name: str, counter: int, keepalive_sha256: str
) -> None:
    """Frames 9 and 16 of the capture, from the initiator: they prove the direction of the transport keys."""
    captured = HANDSHAKES[name]
    initiation, awaiting = create_initiation(
        static_private=captured.initiator,
        responder_public=public_key(captured.responder),
        ephemeral_private=b64decode(captured.initiator_ephemeral),
        timestamp=bytes.fromhex(captured.timestamp),
        sender=captured.initiator_index,
    )
    response, responder = create_response(
        open_initiation(initiation, static_private=captured.responder),
        ephemeral_private=b64decode(captured.responder_ephemeral),
        sender=captured.responder_index,
    )
    keepalive = seal(open_response(response, awaiting), counter, b"")
    assert sha256(keepalive.encode()).hexdigest() == keepalive_sha256
    assert receive(responder, ReplayWindow(), keepalive) == b""
