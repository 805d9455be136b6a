from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirewright.dynamic.lines import MAX_LINE, MAX_LINES, ProtocolError, Reader, encode, error_text

from .peer import lines as other

KEYS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="="), min_size=1, max_size=20
)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
MESSAGES = st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=10).map(tuple)


@given(st.lists(MESSAGES, min_size=1, max_size=4), st.lists(st.integers(0, 400), max_size=12))
def test_messages_are_read_as_they_were_written_however_they_arrive(
    messages: list[tuple[tuple[str, str], ...]], cuts: list[int]
) -> None:
    data = b"".join(map(encode, messages))
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    reader = Reader()
    pieces = [data[begin:end] for begin, end in pairwise(edges)]
    assert [message for piece in pieces for message in reader.feed(piece)] == messages
    assert reader.is_empty


@given(MESSAGES)
def test_another_writes_the_same_bytes(message: tuple[tuple[str, str], ...]) -> None:
    assert encode(message) == other.text(list(message))


@given(st.lists(st.binary(max_size=300), max_size=40))
def test_whatever_comes_is_read_or_refused_and_little_of_it_is_kept(pieces: list[bytes]) -> None:
    reader = Reader()
    with suppress(ProtocolError):
        for piece in pieces:
            for message in reader.feed(piece):
                assert 0 < len(message) <= MAX_LINES
            assert len(reader._rest) <= MAX_LINE


@given(st.binary(max_size=200).map(lambda noise: b"request_ip=1\n" + noise + b"\n\n"))
def test_what_begins_as_a_request_is_read_or_refused(data: bytes) -> None:
    with suppress(ProtocolError):
        list(Reader().feed(data))


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"no equals\n",
        b"=value\n",
        b"a=\0\n",
        b"a b=1\n",
        b"k=" + b"x" * (MAX_LINE - 1) + b"\n",
        b"k=" + b"x" * MAX_LINE,
        b"k=v\n" * (MAX_LINES + 1),
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(Reader().feed(data))


def test_the_longest_line_is_read() -> None:
    line = b"k=" + b"x" * (MAX_LINE - 2)
    assert list(Reader().feed(line + b"\n\n")) == [(("k", "x" * (MAX_LINE - 2)),)]


def test_messages_before_a_wrong_one_are_given() -> None:
    messages = Reader().feed(b"request_ip=1\n\nwrong\n")
    assert next(messages) == (("request_ip", "1"),)
    with pytest.raises(ProtocolError):
        next(messages)


def test_bytes_beyond_ascii_in_a_value_are_no_fault() -> None:
    [message] = Reader().feed("a=1\nname=Zoë\n\n".encode())
    assert message[0] == ("a", "1")


def test_a_text_becomes_fit_for_a_message() -> None:
    text = error_text("Zoë\nerrno=0\n" + "x" * 300)
    assert len(text) == 255
    assert encode((("errmsg", text),)).count(b"\n") == 2


@pytest.mark.parametrize(
    "message", [(), (("a", "b\nc"),), (("a=", "b"),), (("a", "é"),), (("a", "x" * 5000),)]
)
def test_what_would_be_no_message_is_not_written(message: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        encode(message)
