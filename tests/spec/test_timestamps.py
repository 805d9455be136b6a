"""TAI64N, and the rule that timestamps must increase."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirewright.spec.errors import MalformedMessageError, ReplayError
from wirewright.spec.timestamps import newest_timestamp, tai64n, unix_time

seconds = st.integers(0, 2**40)
nanoseconds = st.integers(0, 10**9 - 1)


def test_the_unix_epoch_is_ten_seconds_after_the_tai_epoch() -> None:
    assert tai64n(0, 0).hex() == "400000000000000a" + "00000000"


def test_a_captured_timestamp_is_the_time_of_its_capture() -> None:
    """2018-07-20 22:38:41 UTC; see test_captured_handshakes."""
    assert unix_time(bytes.fromhex("400000005b52647b15405610")) == (1532126321, 356537872)


@given(seconds, nanoseconds)
def test_a_time_survives_being_written_and_read(second: int, nanosecond: int) -> None:
    assert len(tai64n(second, nanosecond)) == 12
    assert unix_time(tai64n(second, nanosecond)) == (second, nanosecond)


@given(st.tuples(seconds, nanoseconds), st.tuples(seconds, nanoseconds))
def test_timestamps_compare_as_bytes_like_their_times(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (tai64n(*one) < tai64n(*other)) == (one < other)


def test_the_first_timestamp_of_a_peer_is_taken_whatever_it_is() -> None:
    assert newest_timestamp(bytes(12), None) == bytes(12)


def test_a_later_timestamp_is_taken_and_becomes_the_greatest() -> None:
    assert newest_timestamp(tai64n(5, 1), tai64n(5, 0)) == tai64n(5, 1)


@pytest.mark.parametrize("late", [tai64n(5, 0), tai64n(4, 999_999_999), bytes(12)])
def test_an_equal_or_earlier_timestamp_is_a_replay(late: bytes) -> None:
    with pytest.raises(
        ReplayError, match=f"^timestamp: {late.hex()} is not greater than {tai64n(5, 0).hex()}"
    ):
        newest_timestamp(late, tai64n(5, 0))


def test_nanoseconds_of_more_than_a_second_are_refused() -> None:
    with pytest.raises(MalformedMessageError, match="1000000000 nanoseconds do not fit into one second"):
        tai64n(0, 10**9)


@pytest.mark.parametrize("size", [0, 8, 11, 13])
def test_a_timestamp_of_the_wrong_size_is_refused(size: int) -> None:
    with pytest.raises(MalformedMessageError, match=f"timestamp: has {size} bytes instead of 12"):
        unix_time(bytes(size))
    with pytest.raises(MalformedMessageError):
        newest_timestamp(bytes(size), None)
