"""Alice and Bob, their fixed keys, and a handshake between them."""

from dataclasses import dataclass

from wirewright.spec.handshake import (
    AwaitingResponse,
    OpenedInitiation,
    Session,
    create_initiation,
    create_response,
    open_initiation,
    open_response,
)
from wirewright.spec.messages import Initiation, Response
from wirewright.spec.primitives import hash_, public_key
from wirewright.spec.timestamps import tai64n

ALICE = hash_(b"Alice's static key")
BOB = hash_(b"Bob's static key")
MALLORY = hash_(b"Mallory's static key")
ALICE_EPHEMERAL = hash_(b"Alice's ephemeral key")
BOB_EPHEMERAL = hash_(b"Bob's ephemeral key")
PRESHARED = hash_(b"the key that Alice and Bob share")
NOW = tai64n(1_700_000_000, 500_000_000)

ALICE_INDEX = 0xA11CE
BOB_INDEX = 0xB0B

# RFC 7748 section 6.1 speaks of them; these are all encodings below 2^255 that X25519 multiplies to zero.
LOW_ORDER_POINTS = [
    u.to_bytes(32, "little")
    for u in (
        0,
        1,
        0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
        0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
        2**255 - 20,
        2**255 - 19,
        2**255 - 18,
    )
]


def alice_initiates(*, cookie: bytes | None = None) -> tuple[Initiation, AwaitingResponse]:
    return create_initiation(
        static_private=ALICE,
        responder_public=public_key(BOB),
        ephemeral_private=ALICE_EPHEMERAL,
        timestamp=NOW,
        sender=ALICE_INDEX,
        cookie=cookie,
    )


@dataclass(frozen=True)
class Conversation:
    """Everything that a whole handshake leaves behind."""

    initiation: Initiation
    opened: OpenedInitiation
    response: Response
    awaiting: AwaitingResponse
    alice: Session
    bob: Session


def shake_hands(*, preshared_key: bytes = bytes(32)) -> Conversation:
    initiation, awaiting = alice_initiates()
    opened = open_initiation(initiation, static_private=BOB)
    response, bob = create_response(
        opened, ephemeral_private=BOB_EPHEMERAL, sender=BOB_INDEX, preshared_key=preshared_key
    )
    alice = open_response(response, awaiting, preshared_key=preshared_key)
    return Conversation(initiation, opened, response, awaiting, alice, bob)


def flip(data: bytes, bit: int) -> bytes:
    """Change one bit."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
