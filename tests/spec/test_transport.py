"""Sealed packets: keys, counters, padding and replays."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirewright.spec.constants import REJECT_AFTER_MESSAGES
from wirewright.spec.errors import (
    AuthenticationError,
    ExhaustedError,
    MalformedMessageError,
    MisdirectedError,
    ReplayError,
)
from wirewright.spec.messages import Data
from wirewright.spec.transport import ReplayWindow, Verdict, pad, receive, seal, trim, unseal

from .actors import BOB_INDEX, flip, shake_hands

TALK = shake_hands()
ALICE, BOB = TALK.alice, TALK.bob
LAST = REJECT_AFTER_MESSAGES - 1


def ipv4(payload: bytes) -> bytes:
    return b"\x45\0" + (20 + len(payload)).to_bytes(2, "big") + bytes(16) + payload


def ipv6(payload: bytes) -> bytes:
    return b"\x60\0\0\0" + len(payload).to_bytes(2, "big") + bytes(34) + payload


packets = st.one_of(
    st.just(b""), st.builds(ipv4, st.binary(max_size=60)), st.builds(ipv6, st.binary(max_size=60))
)


# Sealing


@given(packets, st.integers(0, LAST))
def test_a_packet_arrives_as_it_was_sent_in_both_directions(packet: bytes, counter: int) -> None:
    there = Data.decode(seal(ALICE, counter, packet).encode())
    assert receive(BOB, ReplayWindow(), there) == packet
    back = Data.decode(seal(BOB, counter, packet).encode())
    assert receive(ALICE, ReplayWindow(), back) == packet


def test_a_message_carries_the_index_of_its_receiver_and_its_counter() -> None:
    message = seal(ALICE, 7, ipv4(b""))
    assert (message.receiver, message.counter) == (BOB_INDEX, 7)


def test_a_keepalive_is_32_bytes_and_arrives_as_nothing() -> None:
    keepalive = seal(ALICE, 0, b"")
    assert len(keepalive.encode()) == 32
    assert receive(BOB, ReplayWindow(), keepalive) == b""


def test_a_message_cannot_be_sent_back_to_its_sender() -> None:
    message = replace(seal(ALICE, 0, b""), receiver=ALICE.local_index)
    with pytest.raises(AuthenticationError, match=r"^Data\.packet: "):
        unseal(ALICE, message)


def test_a_message_to_another_session_is_refused() -> None:
    with pytest.raises(MisdirectedError, match=r"^Data\.receiver: "):
        unseal(BOB, replace(seal(ALICE, 0, b""), receiver=BOB_INDEX + 1))


@given(st.integers(8 * 8, 8 * 64 - 1))
def test_any_changed_bit_of_counter_or_packet_spoils_a_message(bit: int) -> None:
    datagram = seal(ALICE, 3, ipv4(b"payload")).encode()
    assert len(datagram) == 64
    with pytest.raises((AuthenticationError, ExhaustedError)):
        unseal(BOB, Data.decode(flip(datagram, bit)))


def test_the_last_counter_is_the_one_before_reject_after_messages() -> None:
    assert receive(BOB, ReplayWindow(), seal(ALICE, LAST, b"")) == b""
    with pytest.raises(
        ExhaustedError, match=r"18446744073709543423 is past the last one, 18446744073709543422"
    ):
        seal(ALICE, REJECT_AFTER_MESSAGES, b"")


def test_a_counter_of_reject_after_messages_is_refused_by_the_receiver_too() -> None:
    for counter in (REJECT_AFTER_MESSAGES, 2**64 - 1):
        with pytest.raises(ExhaustedError):
            unseal(BOB, replace(seal(ALICE, LAST, b""), counter=counter))


# Padding


@pytest.mark.parametrize(("size", "padded"), [(0, 0), (1, 16), (15, 16), (16, 16), (17, 32), (1419, 1424)])
def test_a_packet_is_padded_to_a_multiple_of_16(size: int, padded: int) -> None:
    assert pad(b"x" * size) == b"x" * size + bytes(padded - size)


@pytest.mark.parametrize(
    ("size", "padded"), [(1400, 1408), (1409, 1420), (1419, 1420), (1420, 1420), (1500, 1500)]
)
def test_padding_stops_at_the_mtu_and_never_cuts(size: int, padded: int) -> None:
    assert pad(b"x" * size, mtu=1420) == b"x" * size + bytes(padded - size)


@given(packets, st.binary(max_size=32))
def test_whatever_follows_the_inner_packet_is_cut_off(packet: bytes, rest: bytes) -> None:
    if packet:
        assert trim(packet + rest) == packet


@pytest.mark.parametrize(
    ("padded", "error"),
    [
        (bytes(16), "IP version 0 is neither 4 nor 6"),
        (b"\x55" + bytes(31), "IP version 5 is neither 4 nor 6"),
        (b"\x45" + bytes(15), "16 bytes cannot hold the 20-byte header of IPv4"),
        (b"\x60" + bytes(31), "32 bytes cannot hold the 40-byte header of IPv6"),
        (b"\x45\0\0\x13" + bytes(28), "its IPv4 header says 19 bytes, but 32 arrived"),
        (b"\x45\0\0\x21" + bytes(28), "its IPv4 header says 33 bytes, but 32 arrived"),
        (b"\x60\0\0\0\0\x09" + bytes(42), "its IPv6 header says 49 bytes, but 48 arrived"),
        (b"\x45", "1 bytes cannot hold the 20-byte header of IPv4"),
    ],
)
def test_a_dishonest_inner_packet_is_refused(padded: bytes, error: str) -> None:
    with pytest.raises(MalformedMessageError) as caught:
        trim(padded)
    assert str(caught.value) == f"inner packet: {error}"


# Replays


def test_a_message_is_received_once() -> None:
    window, message = ReplayWindow(), seal(ALICE, 5, ipv4(b""))
    assert receive(BOB, window, message) == ipv4(b"")
    with pytest.raises(ReplayError, match=r"^Data\.counter: 5 is a duplicate, the newest is 5$"):
        receive(BOB, window, message)


def test_messages_may_overtake_each_other() -> None:
    window = ReplayWindow()
    for counter in (3, 1, 2, 0, 9000, 1000):
        assert receive(BOB, window, seal(ALICE, counter, b"")) == b""


@pytest.mark.parametrize("newest", [8129, 10_000, LAST])
def test_8128_behind_the_newest_is_taken_and_8129_is_not(newest: int) -> None:
    window = ReplayWindow()
    assert window.accept(newest) is Verdict.FRESH
    assert window.accept(newest - 8129) is Verdict.TOO_OLD
    assert window.accept(newest - 8128) is Verdict.FRESH
    assert window.accept(newest - 8128) is Verdict.DUPLICATE


def test_the_first_counter_may_be_any() -> None:
    for counter in (0, 1, 8128, 2**40, LAST):
        assert ReplayWindow().accept(counter) is Verdict.FRESH


def test_counter_zero_is_a_counter_like_any_other() -> None:
    window = ReplayWindow()
    assert [window.accept(0), window.accept(0)] == [Verdict.FRESH, Verdict.DUPLICATE]
    assert [window.accept(8128), window.judge(0)] == [Verdict.FRESH, Verdict.DUPLICATE]
    assert [window.accept(8129), window.judge(0)] == [Verdict.FRESH, Verdict.TOO_OLD]


def test_a_forged_message_does_not_move_the_window() -> None:
    window = ReplayWindow()
    receive(BOB, window, seal(ALICE, 0, b""))
    forged = replace(seal(ALICE, 1, b""), counter=2**60)
    with pytest.raises(AuthenticationError):
        receive(BOB, window, forged)
    assert window.newest == 0
    assert receive(BOB, window, seal(ALICE, 1, b"")) == b""


def test_a_packet_that_is_dishonest_inside_still_uses_up_its_counter() -> None:
    """It was authentic, so its sender is to blame, and a copy of it is a replay."""
    window, message = ReplayWindow(), seal(ALICE, 0, b"neither IPv4 nor IPv6")
    with pytest.raises(MalformedMessageError):
        receive(BOB, window, message)
    with pytest.raises(ReplayError):
        receive(BOB, window, message)


def test_judging_changes_nothing() -> None:
    window = ReplayWindow()
    assert window.judge(5) is Verdict.FRESH
    assert window.judge(5) is Verdict.FRESH
    assert window.newest is None


@given(st.lists(st.integers(0, 20_000)))
def test_no_counter_is_ever_taken_twice_and_the_newest_only_grows(counters: list[int]) -> None:
    window, taken, newest = ReplayWindow(), list[int](), [-1]
    for counter in counters:
        if window.accept(counter) is Verdict.FRESH:
            taken.append(counter)
        assert window.newest is not None
        newest.append(window.newest)
    assert len(taken) == len(set(taken))
    assert all(before <= after for before, after in pairwise(newest))


@given(st.lists(st.integers(0, 8128), unique=True))
def test_within_the_window_any_order_of_counters_is_taken(counters: list[int]) -> None:
    window = ReplayWindow()
    assert all(window.accept(counter) is Verdict.FRESH for counter in counters)
