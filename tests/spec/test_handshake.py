"""The handshake between Alice and Bob, and everything that must make it fail."""

from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirewright.spec.constants import CONSTRUCTION, IDENTIFIER
from wirewright.spec.cookies import with_macs
from wirewright.spec.errors import (
    AuthenticationError,
    LowOrderPointError,
    MalformedMessageError,
    MisdirectedError,
    SpecificationError,
)
from wirewright.spec.handshake import create_initiation, create_response, open_initiation, open_response
from wirewright.spec.messages import Initiation, Response
from wirewright.spec.primitives import aead, dh, hash_, kdf1, kdf2, public_key
from wirewright.spec.timestamps import tai64n

from .actors import (
    ALICE,
    ALICE_EPHEMERAL,
    ALICE_INDEX,
    BOB,
    BOB_EPHEMERAL,
    BOB_INDEX,
    LOW_ORDER_POINTS,
    MALLORY,
    NOW,
    PRESHARED,
    Conversation,
    alice_initiates,
    flip,
    shake_hands,
)

Tampered = TypeVar("Tampered", Initiation, Response)

keys = st.binary(min_size=32, max_size=32)
indices = st.integers(0, 2**32 - 1)


# When all is well


@pytest.mark.parametrize("preshared_key", [bytes(32), PRESHARED], ids=["without-psk", "with-psk"])
def test_both_sides_end_with_the_same_two_keys(preshared_key: bytes) -> None:
    talk = shake_hands(preshared_key=preshared_key)
    assert talk.alice.sending_key == talk.bob.receiving_key
    assert talk.alice.receiving_key == talk.bob.sending_key
    assert talk.alice.sending_key != talk.alice.receiving_key


def test_each_side_knows_the_index_of_the_other() -> None:
    talk = shake_hands()
    assert (talk.alice.local_index, talk.alice.remote_index) == (ALICE_INDEX, BOB_INDEX)
    assert (talk.bob.local_index, talk.bob.remote_index) == (BOB_INDEX, ALICE_INDEX)
    assert (talk.response.sender, talk.response.receiver) == (BOB_INDEX, ALICE_INDEX)


def test_the_responder_learns_who_calls_and_when() -> None:
    opened = shake_hands().opened
    assert opened.initiator_public == public_key(ALICE)
    assert opened.timestamp == NOW
    assert opened.remote_index == ALICE_INDEX


@given(keys, keys, keys, keys, keys, indices, indices)
def test_any_keys_and_indices_make_a_handshake(
    alice: bytes, bob: bytes, alice_ephemeral: bytes, bob_ephemeral: bytes, psk: bytes, i: int, r: int
) -> None:
    initiation, awaiting = create_initiation(
        static_private=alice,
        responder_public=public_key(bob),
        ephemeral_private=alice_ephemeral,
        timestamp=tai64n(0, 0),
        sender=i,
    )
    opened = open_initiation(Initiation.decode(initiation.encode()), static_private=bob)
    response, bobs = create_response(opened, ephemeral_private=bob_ephemeral, sender=r, preshared_key=psk)
    alices = open_response(Response.decode(response.encode()), awaiting, preshared_key=psk)
    assert (alices.sending_key, alices.receiving_key) == (bobs.receiving_key, bobs.sending_key)


def test_the_same_inputs_give_the_same_bytes() -> None:
    assert shake_hands() == shake_hands()


def test_a_preshared_key_of_zeros_is_the_same_as_none() -> None:
    _, awaiting = alice_initiates()
    response, _ = create_response(shake_hands().opened, ephemeral_private=BOB_EPHEMERAL, sender=BOB_INDEX)
    assert open_response(response, awaiting, preshared_key=bytes(32)) == shake_hands().alice


@pytest.mark.parametrize("what", ["static_private", "ephemeral_private", "timestamp", "sender"])
def test_every_input_of_an_initiation_changes_its_bytes(what: str) -> None:
    inputs = {
        "static_private": ALICE,
        "responder_public": public_key(BOB),
        "ephemeral_private": ALICE_EPHEMERAL,
        "timestamp": NOW,
        "sender": ALICE_INDEX,
    }
    others = {
        "static_private": MALLORY,
        "ephemeral_private": BOB_EPHEMERAL,
        "timestamp": tai64n(1_700_000_001, 0),
        "sender": 1,
    }
    one, _ = create_initiation(**inputs)  # type: ignore[arg-type]
    other, _ = create_initiation(**{**inputs, what: others[what]})  # type: ignore[arg-type]
    assert one.encode() != other.encode()


def test_identity_and_time_are_not_readable_in_the_initiation() -> None:
    datagram = alice_initiates()[0].encode()
    for secret in (public_key(ALICE), public_key(BOB), NOW):
        assert secret not in datagram


# Wrong keys


def test_somebody_else_cannot_open_an_initiation_to_bob() -> None:
    with pytest.raises(AuthenticationError, match=r"^Initiation\.mac1: "):
        open_initiation(alice_initiates()[0], static_private=MALLORY)


def test_somebody_else_cannot_open_an_initiation_to_bob_even_with_a_right_mac1() -> None:
    redirected = with_macs(alice_initiates()[0], public_key(MALLORY), None)
    with pytest.raises(AuthenticationError, match=r"^Initiation\.static: "):
        open_initiation(redirected, static_private=MALLORY)


def test_nobody_can_pretend_to_be_alice_without_her_private_key() -> None:
    """Mallory claims to be Alice in msg.static, which any stranger could; DH(Spriv_i, Spub_r) unmasks her."""
    bob, ephemeral = public_key(BOB), public_key(ALICE_EPHEMERAL)
    c = hash_(CONSTRUCTION)
    h = hash_(hash_(hash_(c + IDENTIFIER) + bob) + ephemeral)
    c, key = kdf2(kdf1(c, ephemeral), dh(ALICE_EPHEMERAL, bob))
    static = aead(key, 0, public_key(ALICE), h)
    c, key = kdf2(c, dh(MALLORY, bob))
    timestamp = aead(key, 0, NOW, hash_(h + static))
    forged = with_macs(Initiation(1, ephemeral, static, timestamp, bytes(16), bytes(16)), bob, None)
    with pytest.raises(AuthenticationError, match=r"^Initiation\.timestamp: "):
        open_initiation(forged, static_private=BOB)


def test_a_response_by_somebody_other_than_bob_is_refused() -> None:
    """Mallory cannot open the initiation, but she can invent what she did not read there."""
    talk = shake_hands()
    guessed = replace(talk.opened, chaining_key=bytes(32))
    response, _ = create_response(guessed, ephemeral_private=BOB_EPHEMERAL, sender=BOB_INDEX)
    with pytest.raises(AuthenticationError, match=r"^Response\.empty: "):
        open_response(response, talk.awaiting)


@pytest.mark.parametrize(
    ("hers", "his"), [(PRESHARED, bytes(32)), (bytes(32), PRESHARED), (PRESHARED, MALLORY)]
)
def test_different_preshared_keys_make_the_handshake_fail(hers: bytes, his: bytes) -> None:
    talk = shake_hands(preshared_key=his)
    with pytest.raises(AuthenticationError, match=r"^Response\.empty: "):
        open_response(talk.response, talk.awaiting, preshared_key=hers)


def test_alice_can_still_complete_the_handshake_after_refusing_nonsense() -> None:
    talk = shake_hands()
    nonsense = with_macs(replace(talk.response, empty=bytes(16)), public_key(ALICE), None)
    with pytest.raises(AuthenticationError):
        open_response(nonsense, talk.awaiting)
    assert open_response(talk.response, talk.awaiting) == talk.alice


def test_a_response_to_another_session_is_refused() -> None:
    talk = shake_hands()
    stray = replace(talk.response, receiver=ALICE_INDEX + 1)
    error = r"^Response\.receiver: is 0x000a11cf, but the index of this session is 0x000a11ce$"
    with pytest.raises(MisdirectedError, match=error):
        open_response(stray, talk.awaiting)


def test_a_response_to_an_earlier_initiation_is_refused() -> None:
    talk = shake_hands()
    _, later = create_initiation(
        static_private=ALICE,
        responder_public=public_key(BOB),
        ephemeral_private=MALLORY,
        timestamp=tai64n(1_700_000_005, 0),
        sender=ALICE_INDEX,
    )
    with pytest.raises(AuthenticationError, match=r"^Response\.empty: "):
        open_response(talk.response, later)


# Changed messages


def spoil(message: Tampered, field: str, data: st.DataObject) -> Tampered:
    """Change one bit of one field."""
    value: bytes = getattr(message, field)
    changed: Any = {field: flip(value, data.draw(st.integers(0, 8 * len(value) - 1)))}
    return replace(message, **changed)


@given(st.integers(0, 8 * 132 - 1))
def test_any_changed_bit_before_mac2_spoils_an_initiation(bit: int) -> None:
    datagram = flip(alice_initiates()[0].encode(), bit)
    with pytest.raises((MalformedMessageError, AuthenticationError)):
        open_initiation(Initiation.decode(datagram), static_private=BOB)


@given(st.integers(0, 8 * 76 - 1))
def test_any_changed_bit_before_mac2_spoils_a_response(bit: int) -> None:
    talk = shake_hands()
    datagram = flip(talk.response.encode(), bit)
    with pytest.raises((MalformedMessageError, AuthenticationError, MisdirectedError)):
        open_response(Response.decode(datagram), talk.awaiting)


@pytest.mark.parametrize(
    ("changed", "noticed"), [("ephemeral", "static"), ("static", "static"), ("timestamp", "timestamp")]
)
@given(data=st.data())
def test_a_changed_initiation_is_noticed_even_by_who_made_mac1_right_again(
    changed: str, noticed: str, data: st.DataObject
) -> None:
    """Anybody who knows Bob's public key can compute mac1, so the AEADs must notice on their own."""
    message = alice_initiates()[0]
    tampered = spoil(message, changed, data)
    with pytest.raises(AuthenticationError, match=rf"^Initiation\.{noticed}: "):
        open_initiation(with_macs(tampered, public_key(BOB), None), static_private=BOB)


@pytest.mark.parametrize("changed", ["ephemeral", "empty"])
@given(data=st.data())
def test_a_changed_response_is_noticed_even_by_who_made_mac1_right_again(
    changed: str, data: st.DataObject
) -> None:
    talk = shake_hands()
    tampered = spoil(talk.response, changed, data)
    with pytest.raises(AuthenticationError, match=r"^Response\.empty: "):
        open_response(with_macs(tampered, public_key(ALICE), None), talk.awaiting)


def test_even_the_top_bit_of_an_ephemeral_key_which_x25519_ignores_is_noticed() -> None:
    message = alice_initiates()[0]
    tampered = replace(message, ephemeral=flip(message.ephemeral, 255))
    with pytest.raises(AuthenticationError, match=r"^Initiation\.static: "):
        open_initiation(with_macs(tampered, public_key(BOB), None), static_private=BOB)


def test_a_changed_sender_index_is_noticed_by_mac1_alone_and_gets_nobody_a_session() -> None:
    """The paper does not hash the indices. Bob then answers an index that Alice never chose."""
    initiation, awaiting = alice_initiates()
    tampered = with_macs(replace(initiation, sender=1), public_key(BOB), None)
    opened = open_initiation(tampered, static_private=BOB)
    response, _ = create_response(opened, ephemeral_private=BOB_EPHEMERAL, sender=BOB_INDEX)
    with pytest.raises(MisdirectedError):
        open_response(response, awaiting)


def test_a_changed_mac2_does_not_matter_to_who_is_not_under_load() -> None:
    message = replace(alice_initiates()[0], mac2=b"x" * 16)
    assert open_initiation(message, static_private=BOB) == shake_hands().opened


# Points of low order


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=lambda point: point.hex()[:8])
def test_an_initiation_with_an_ephemeral_key_of_low_order_is_refused(point: bytes) -> None:
    message = with_macs(replace(alice_initiates()[0], ephemeral=point), public_key(BOB), None)
    with pytest.raises(LowOrderPointError):
        open_initiation(message, static_private=BOB)


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=lambda point: point.hex()[:8])
def test_a_response_with_an_ephemeral_key_of_low_order_is_refused(point: bytes) -> None:
    talk = shake_hands()
    message = with_macs(replace(talk.response, ephemeral=point), public_key(ALICE), None)
    with pytest.raises(LowOrderPointError):
        open_response(message, talk.awaiting)


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=lambda point: point.hex()[:8])
def test_nobody_can_be_called_who_has_a_public_key_of_low_order(point: bytes) -> None:
    with pytest.raises(LowOrderPointError):
        create_initiation(
            static_private=ALICE,
            responder_public=point,
            ephemeral_private=ALICE_EPHEMERAL,
            timestamp=NOW,
            sender=ALICE_INDEX,
        )


# Hygiene


def test_a_timestamp_of_the_wrong_size_is_refused_before_it_is_sent() -> None:
    with pytest.raises(MalformedMessageError, match=r"^Initiation\.timestamp: has 29 bytes instead of 28$"):
        create_initiation(
            static_private=ALICE,
            responder_public=public_key(BOB),
            ephemeral_private=ALICE_EPHEMERAL,
            timestamp=NOW + b"\0",
            sender=ALICE_INDEX,
        )


def test_no_secret_is_in_the_repr_of_anything() -> None:
    talk: Conversation = shake_hands(preshared_key=PRESHARED)
    text = repr(talk)
    secrets = [
        ALICE,
        ALICE_EPHEMERAL,
        talk.awaiting.chaining_key,
        talk.opened.chaining_key,
        talk.alice.sending_key,
        talk.alice.receiving_key,
    ]
    for secret in secrets:
        assert repr(secret) not in text
        assert secret.hex() not in text


def test_every_refusal_is_one_of_the_specification() -> None:
    for error in (AuthenticationError, LowOrderPointError, MalformedMessageError, MisdirectedError):
        assert issubclass(error, SpecificationError)
