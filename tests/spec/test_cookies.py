"""mac1, mac2 and cookie replies: who may cost whom work."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirewright.spec.cookies import (
    Admission,
    CookieSecret,
    ReceivedCookie,
    admit,
    create_cookie_reply,
    mac2,
    open_cookie_reply,
    verify_mac1,
    verify_mac2,
)
from wirewright.spec.errors import AuthenticationError
from wirewright.spec.handshake import create_response, open_response
from wirewright.spec.messages import CookieReply, HandshakeMessage, Initiation
from wirewright.spec.primitives import hash_, mac, public_key

from .actors import (
    ALICE,
    ALICE_INDEX,
    BOB,
    BOB_EPHEMERAL,
    BOB_INDEX,
    MALLORY,
    alice_initiates,
    flip,
    shake_hands,
)

SECRET = CookieSecret(hash_(b"Bob's cookie secret"), created_at=1000.0)
HOME = ip_address("192.0.2.1")
PORT = 51820
COOKIE = SECRET.cookie_for(HOME, PORT)
NONCE = bytes(range(24))


def bobs_reply(message: HandshakeMessage) -> CookieReply:
    return create_cookie_reply(message, own_public=public_key(BOB), cookie=COOKIE, nonce=NONCE)


# The MACs


def test_mac1_is_the_mac_of_all_before_it_keyed_by_the_hash_of_label_and_receiver() -> None:
    initiation = alice_initiates()[0]
    key = hash_(b"mac1----" + public_key(BOB))
    assert initiation.mac1 == mac(key, initiation.encode()[:116])
    response = shake_hands().response
    key = hash_(b"mac1----" + public_key(ALICE))
    assert response.mac1 == mac(key, response.encode()[:60])


def test_mac2_is_zero_without_a_cookie() -> None:
    assert alice_initiates()[0].mac2 == bytes(16)
    assert shake_hands().response.mac2 == bytes(16)


def test_mac2_is_the_mac_of_all_before_it_keyed_by_the_cookie() -> None:
    initiation = alice_initiates(cookie=COOKIE)[0]
    assert initiation.mac2 == mac(COOKIE, initiation.encode()[:132])
    opened = shake_hands().opened
    response, _ = create_response(opened, ephemeral_private=BOB_EPHEMERAL, sender=BOB_INDEX, cookie=COOKIE)
    assert response.mac2 == mac(COOKIE, response.encode()[:76])


def test_a_cookie_changes_nothing_but_mac2() -> None:
    with_cookie, without = alice_initiates(cookie=COOKIE)[0], alice_initiates()[0]
    assert with_cookie != without
    assert replace(with_cookie, mac2=bytes(16)) == without


def test_mac1_verifies_only_for_the_one_it_was_made_for() -> None:
    initiation = alice_initiates()[0]
    verify_mac1(initiation, public_key(BOB))
    with pytest.raises(AuthenticationError, match=r"^Initiation\.mac1: "):
        verify_mac1(initiation, public_key(MALLORY))
    with pytest.raises(AuthenticationError, match=r"^Response\.mac1: "):
        verify_mac1(shake_hands().response, public_key(BOB))


def test_mac2_verifies_only_with_the_cookie_it_was_made_with() -> None:
    initiation = alice_initiates(cookie=COOKIE)[0]
    verify_mac2(initiation, COOKIE)
    with pytest.raises(AuthenticationError, match=r"^Initiation\.mac2: "):
        verify_mac2(initiation, bytes(16))
    with pytest.raises(AuthenticationError, match=r"^Initiation\.mac2: "):
        verify_mac2(alice_initiates()[0], COOKIE)


@given(st.integers(8 * 4, 8 * 148 - 1))
def test_any_changed_bit_after_the_type_spoils_a_mac(bit: int) -> None:
    initiation = alice_initiates(cookie=COOKIE)[0]
    changed = Initiation.decode(flip(initiation.encode(), bit))
    if changed.mac2 == initiation.mac2:
        with pytest.raises(AuthenticationError):
            verify_mac1(changed, public_key(BOB))
    with pytest.raises(AuthenticationError):
        verify_mac2(changed, COOKIE)


# Cookies and their secret


def test_a_cookie_over_ipv4_covers_four_bytes_of_address_and_two_of_port() -> None:
    expected = mac(SECRET.value, bytes([192, 0, 2, 1]) + bytes([0xCA, 0x6C]))
    assert SECRET.cookie_for(IPv4Address("192.0.2.1"), 51820) == expected


def test_a_cookie_over_ipv6_covers_sixteen_bytes_of_address_and_two_of_port() -> None:
    expected = mac(SECRET.value, bytes.fromhex("20010db8000000000000000000000001") + bytes([0, 7]))
    assert SECRET.cookie_for(IPv6Address("2001:db8::1"), 7) == expected


@pytest.mark.parametrize(
    ("address", "port"), [("192.0.2.2", PORT), ("192.0.2.1", PORT + 1), ("2001:db8::1", PORT)]
)
def test_another_address_or_port_has_another_cookie(address: str, port: int) -> None:
    assert SECRET.cookie_for(ip_address(address), port) != COOKIE


def test_another_secret_gives_another_cookie() -> None:
    other = CookieSecret(hash_(b"two minutes later"), created_at=1120.0)
    assert other.cookie_for(HOME, PORT) != COOKIE


@pytest.mark.parametrize(
    ("now", "current"), [(1000.0, True), (1119.9, True), (1120.0, False), (2000.0, False)]
)
def test_a_secret_is_current_for_two_minutes(now: float, current: bool) -> None:
    assert SECRET.is_current(now) is current


def test_a_received_cookie_is_used_for_two_minutes() -> None:
    received = ReceivedCookie(COOKIE, received_at=1000.0)
    assert received.usable(1119.9) == COOKIE
    assert received.usable(1120.0) is None


def test_secrets_and_cookies_of_the_wrong_size_are_refused_and_never_printed() -> None:
    with pytest.raises(ValueError, match=r"^CookieSecret\.value has 31 bytes instead of 32$"):
        CookieSecret(bytes(31), created_at=0)
    with pytest.raises(ValueError, match=r"^ReceivedCookie\.value has 32 bytes instead of 16$"):
        ReceivedCookie(bytes(32), received_at=0)
    assert repr(SECRET) == "CookieSecret(created_at=1000.0)"
    assert repr(ReceivedCookie(COOKIE, received_at=5.0)) == "ReceivedCookie(received_at=5.0)"


# Cookie replies


def test_the_sender_gets_the_cookie_out_of_the_reply_to_its_message() -> None:
    initiation, awaiting = alice_initiates()
    reply = CookieReply.decode(bobs_reply(initiation).encode())
    assert reply.receiver == ALICE_INDEX
    assert open_cookie_reply(reply, peer_public=public_key(BOB), mac1_sent=awaiting.mac1) == COOKIE


def test_the_reply_and_the_mac2_that_wireguard_go_was_seen_to_take_are_computed_again() -> None:
    """The CookieGenerator of wireguard-go (v0.0.0-20260522210424) opened this reply and made this mac2.

    Its CookieChecker was seen to make replies that open_cookie_reply opens, and to take a mac2 made by mac2.
    """
    assert bobs_reply(alice_initiates()[0]).encode().hex() == (
        "03000000ce110a00"
        "000102030405060708090a0b0c0d0e0f1011121314151617"
        "10814ba388210dd0689508d7aaad542da155cd00befa00f24f47fcff49f6f629"
    )
    assert alice_initiates(cookie=COOKIE)[0].mac2.hex() == "70f61e5daabad60194cfbb0ebca33e82"


def test_a_response_is_answered_with_a_cookie_just_like_an_initiation() -> None:
    response = shake_hands().response
    reply = create_cookie_reply(response, own_public=public_key(ALICE), cookie=COOKIE, nonce=NONCE)
    assert reply.receiver == BOB_INDEX
    assert open_cookie_reply(reply, peer_public=public_key(ALICE), mac1_sent=response.mac1) == COOKIE


def test_a_reply_to_another_message_does_not_open() -> None:
    with pytest.raises(AuthenticationError, match=r"^CookieReply\.cookie: "):
        open_cookie_reply(bobs_reply(alice_initiates()[0]), peer_public=public_key(BOB), mac1_sent=bytes(16))


def test_a_reply_by_another_peer_does_not_open() -> None:
    initiation, awaiting = alice_initiates()
    forged = create_cookie_reply(initiation, own_public=public_key(MALLORY), cookie=COOKIE, nonce=NONCE)
    with pytest.raises(AuthenticationError, match=r"^CookieReply\.cookie: "):
        open_cookie_reply(forged, peer_public=public_key(BOB), mac1_sent=awaiting.mac1)


@given(st.integers(8 * 8, 8 * 64 - 1))
def test_any_changed_bit_of_nonce_or_cookie_spoils_a_reply(bit: int) -> None:
    initiation, awaiting = alice_initiates()
    reply = CookieReply.decode(flip(bobs_reply(initiation).encode(), bit))
    with pytest.raises(AuthenticationError):
        open_cookie_reply(reply, peer_public=public_key(BOB), mac1_sent=awaiting.mac1)


# Admission


def test_a_message_with_a_wrong_mac1_is_dropped_in_silence_under_load_or_not() -> None:
    wrong = replace(alice_initiates(cookie=COOKIE)[0], mac1=bytes(16))
    wrong = replace(wrong, mac2=mac2(wrong, COOKIE))
    for under_load in (False, True):
        assert (
            admit(wrong, own_public=public_key(BOB), cookie=COOKIE, under_load=under_load) is Admission.DROP
        )


def test_a_message_without_a_cookie_is_processed_unless_under_load() -> None:
    initiation = alice_initiates()[0]
    verdicts = [
        admit(initiation, own_public=public_key(BOB), cookie=COOKIE, under_load=under_load)
        for under_load in (False, True)
    ]
    assert verdicts == [Admission.PROCESS, Admission.CHALLENGE]


def test_a_cookie_moved_to_another_address_is_challenged_again() -> None:
    elsewhere = SECRET.cookie_for(ip_address("198.51.100.7"), PORT)
    initiation = alice_initiates(cookie=COOKIE)[0]
    verdict = admit(initiation, own_public=public_key(BOB), cookie=elsewhere, under_load=True)
    assert verdict is Admission.CHALLENGE


def test_under_load_a_handshake_takes_one_more_round_trip() -> None:
    bob = public_key(BOB)
    first, waiting = alice_initiates()
    assert admit(first, own_public=bob, cookie=COOKIE, under_load=True) is Admission.CHALLENGE
    cookie = open_cookie_reply(bobs_reply(first), peer_public=bob, mac1_sent=waiting.mac1)

    second, awaiting = alice_initiates(cookie=ReceivedCookie(cookie, received_at=0.0).usable(5.0))
    assert admit(second, own_public=bob, cookie=COOKIE, under_load=True) is Admission.PROCESS
    assert open_response(shake_hands().response, awaiting) == shake_hands().alice
