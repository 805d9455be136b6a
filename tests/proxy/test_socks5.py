"""The negotiation of SOCKS 5, in memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirewright.proxy.credentials import Credentials
from wirewright.proxy.socks5 import Command, Failure, Negotiation, Reply, Request, encode_address, reply
from wirewright.proxy.socks5_datagrams import DatagramError, FragmentError, unwrap, wrap

USER = Credentials(b"ann", b"secret")
GREETING = b"\x05\x01\x00"
GREETING_WITH_PASSWORD = b"\x05\x02\x00\x02"
LOGIN = b"\x01\x03ann\x06secret"
TO_ADDRESS = b"\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x50"
TO_NAME = b"\x05\x01\x00\x03\x0bdb.internal\x15\x38"
TO_IPV6 = b"\x05\x01\x00\x04" + bytes(15) + b"\x01\x01\xbb"


@pytest.mark.parametrize(
    ("asked", "request_"),
    [
        (TO_ADDRESS, Request(Command.CONNECT, "10.0.0.1", 80)),
        (TO_NAME, Request(Command.CONNECT, "db.internal", 5432)),
        (TO_IPV6, Request(Command.CONNECT, "::1", 443)),
        (b"\x05\x03\x00\x01" + bytes(6), Request(Command.UDP_ASSOCIATE, "0.0.0.0", 0)),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 1000])
def test_a_request_is_understood_in_pieces_of_any_size(asked: bytes, request_: Request, step: int) -> None:
    negotiation = Negotiation(None)
    answers = b""
    said = GREETING + asked
    for start in range(0, len(said), step):
        assert not negotiation.over
        answers += negotiation.feed(said[start : start + step])
    assert answers == b"\x05\x00"
    assert negotiation.request == request_
    assert negotiation.rest == b""


def test_what_comes_behind_a_request_is_kept() -> None:
    negotiation = Negotiation(None)
    negotiation.feed(GREETING + TO_ADDRESS + b"GET /")
    assert negotiation.rest == b"GET /"


def test_a_user_with_the_right_password_may_ask() -> None:
    negotiation = Negotiation(USER)
    assert negotiation.feed(GREETING_WITH_PASSWORD) == b"\x05\x02"
    assert negotiation.feed(LOGIN) == b"\x01\x00"
    assert negotiation.feed(TO_NAME) == b""
    assert negotiation.request is not None


@pytest.mark.parametrize(
    "login",
    [
        b"\x01\x03ann\x06Secret",
        b"\x01\x03bob\x06secret",
        b"\x01\x00\x00",
        b"\x01\x03ann\x00",
        b"\x01\x03ann\x05secre",
    ],
)
def test_a_wrong_password_ends_the_negotiation(login: bytes) -> None:
    negotiation = Negotiation(USER)
    negotiation.feed(GREETING_WITH_PASSWORD)
    assert negotiation.feed(login + TO_NAME) == b"\x01\x01"
    assert negotiation.failure is Failure.CREDENTIALS
    assert negotiation.request is None


@pytest.mark.parametrize("greeting", [b"\x05\x01\x00", b"\x05\x00", b"\x05\x02\x00\x01"])
def test_who_offers_no_password_is_refused_if_one_is_wanted(greeting: bytes) -> None:
    negotiation = Negotiation(USER)
    assert negotiation.feed(greeting) == b"\x05\xff"
    assert negotiation.failure is Failure.METHOD


def test_who_offers_nothing_but_a_password_is_refused_if_none_is_wanted() -> None:
    negotiation = Negotiation(None)
    assert negotiation.feed(b"\x05\x01\x02") == b"\x05\xff"
    assert negotiation.failure is Failure.METHOD


@pytest.mark.parametrize(
    ("said", "failure", "answer"),
    [
        (b"\x04\x01\x00\x50", Failure.PROTOCOL, b""),
        (b"GET / HTTP/1.1\r\n", Failure.PROTOCOL, b""),
        (GREETING + b"\x04\x01\x00\x01", Failure.PROTOCOL, b"\x05\x00"),
        (
            GREETING + TO_ADDRESS[:1] + b"\x02" + TO_ADDRESS[2:],
            Failure.COMMAND,
            b"\x05\x00" + reply(Reply(7)),
        ),
        (
            GREETING + TO_ADDRESS[:1] + b"\x09" + TO_ADDRESS[2:],
            Failure.COMMAND,
            b"\x05\x00" + reply(Reply(7)),
        ),
        (GREETING + b"\x05\x01\x00\x02" + bytes(6), Failure.ADDRESS, b"\x05\x00" + reply(Reply(8))),
        (GREETING + b"\x05\x01\x00\x03\x00\x00\x50", Failure.ADDRESS, b"\x05\x00" + reply(Reply(8))),
        (GREETING + b"\x05\x01\x00\x03\x02a\x00\x00\x50", Failure.ADDRESS, b"\x05\x00" + reply(Reply(1))),
        (GREETING + b"\x05\x01\x00\x03\x02a \x00\x50", Failure.ADDRESS, b"\x05\x00" + reply(Reply(1))),
        (GREETING + b"\x05\x01\x00\x03\x02\xc3\xa9\x00\x50", Failure.ADDRESS, b"\x05\x00" + reply(Reply(1))),
        (GREETING + TO_ADDRESS[:-2] + b"\x00\x00", Failure.ADDRESS, b"\x05\x00" + reply(Reply(1))),
    ],
)
def test_what_cannot_be_served_is_refused_as_the_rfc_says(
    said: bytes, failure: Failure, answer: bytes
) -> None:
    negotiation = Negotiation(None)
    assert negotiation.feed(said) == answer
    assert negotiation.failure is failure
    assert negotiation.request is None


@given(st.lists(st.binary(max_size=64), max_size=40), st.booleans())
def test_no_bytes_of_a_client_are_more_than_an_answer_or_a_failure(pieces: list[bytes], asks: bool) -> None:
    negotiation = Negotiation(USER if asks else None)
    for piece in pieces:
        if negotiation.over:
            break
        negotiation.feed(piece)
        assert len(negotiation._buffer) < 512
    if asks:
        assert negotiation.request is None


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(USER)


def test_a_reply_carries_the_address_that_is_bound() -> None:
    assert reply(Reply.SUCCEEDED, "10.0.0.2", 256) == b"\x05\x00\x00\x01\x0a\x00\x00\x02\x01\x00"
    assert reply(Reply.SUCCEEDED, "fd00::2", 1)[3] == 4


@pytest.mark.parametrize("host", ["10.0.0.1", "fd00::1"])
def test_a_datagram_that_is_wrapped_is_unwrapped_again(host: str) -> None:
    assert unwrap(wrap(host, 53, b"data")) == (host, 53, b"data")
    assert unwrap(b"\0\0\0\x03\x02db\x00\x35data") == ("db", 53, b"data")


def test_a_part_of_a_datagram_is_refused() -> None:
    with pytest.raises(FragmentError):
        unwrap(b"\0\0\x01" + encode_address("10.0.0.1", 53) + b"data")


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\0\0\0",
        b"\0\0\0\x01",
        b"\0\x01\0" + encode_address("10.0.0.1", 53),
        b"\0\0\0\x01\x0a\x00\x00\x01\x00",
        b"\0\0\0\x03\x09db\x00\x35",
        b"\0\0\0\x03\x00\x00\x35",
        b"\0\0\0\x09\x0a\x00\x00\x01\x00\x35",
        b"\0\0\0" + encode_address("10.0.0.1", 0),
    ],
)
def test_what_is_no_datagram_of_socks_is_refused(datagram: bytes) -> None:
    with pytest.raises(DatagramError):
        unwrap(datagram)


@given(st.binary(max_size=300))
def test_any_datagram_is_understood_or_refused(datagram: bytes) -> None:
    try:
        host, port, data = unwrap(datagram)
    except DatagramError:
        return
    assert host
    assert 0 < port < 65536
    assert datagram.endswith(data)
