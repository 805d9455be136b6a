"""The HTTP proxy between two ends in memory."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirewright.proxy.credentials import Credentials
from wirewright.proxy.exchange import (
    Action,
    CloseClient,
    CloseOrigin,
    Connect,
    Exchange,
    Switch,
    ToClient,
    ToOrigin,
)
from wirewright.tunnel.errors import ConnectTimeoutError, RefusedError

POST = b"POST http://a/ HTTP/1.1\r\nHost: a\r\n"
GET = b"GET http://web.internal/page?x=1 HTTP/1.1\r\nHost: web.internal\r\n\r\n"


def to_origin(actions: list[Action]) -> bytes:
    return b"".join(action.data for action in actions if isinstance(action, ToOrigin))


def to_client(actions: list[Action]) -> bytes:
    return b"".join(action.data for action in actions if isinstance(action, ToClient))


def connects(actions: list[Action]) -> list[tuple[str, int]]:
    return [(action.host, action.port) for action in actions if isinstance(action, Connect)]


def status(actions: list[Action]) -> int:
    return int(to_client(actions).split(b" ", 2)[1])


def asked(text: bytes) -> tuple[Exchange, bytes]:
    """An exchange that is connected for this request, and what the origin got."""
    exchange = Exchange()
    actions = exchange.from_client(text)
    assert len(connects(actions)) == 1, actions
    return exchange, to_origin(exchange.connected())


def test_a_request_goes_to_the_origin_in_its_own_form() -> None:
    exchange = Exchange()
    assert exchange.from_client(GET) == [Connect("web.internal", 80)]
    assert not exchange.reading_client
    sent = to_origin(exchange.connected())
    assert sent.startswith(b"GET /page?x=1 HTTP/1.1\r\nHost: web.internal\r\n")
    assert b"Via: 1.1 wirewright\r\n" in sent


def test_an_answer_goes_to_the_client_and_the_next_request_uses_the_same_connection() -> None:
    exchange, _ = asked(GET)
    actions = exchange.from_origin(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    assert to_client(actions).endswith(b"\r\n\r\nhello")
    assert b"Via: 1.1 wirewright\r\n" in to_client(actions)
    assert exchange.idle
    actions = exchange.from_client(GET)
    assert connects(actions) == []
    assert to_origin(actions).startswith(b"GET /page?x=1")


def test_a_request_to_another_origin_closes_the_first_connection() -> None:
    exchange, _ = asked(GET)
    exchange.from_origin(b"HTTP/1.1 204 No Content\r\n\r\n")
    actions = exchange.from_client(b"GET http://other:8080 HTTP/1.1\r\nHost: other:8080\r\n\r\n")
    assert actions == [CloseOrigin(), Connect("other", 8080)]
    assert to_origin(exchange.connected()).startswith(b"GET / HTTP/1.1\r\nHost: other:8080\r\n")


def test_requests_sent_at_once_are_answered_one_behind_the_other() -> None:
    exchange, sent = asked(GET + GET)
    assert sent.count(b"GET ") == 1
    assert not exchange.reading_client
    actions = exchange.from_origin(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert to_origin(actions).count(b"GET ") == 1


def test_the_target_and_not_the_host_header_says_who_is_asked() -> None:
    _, sent = asked(b"GET http://web.internal/ HTTP/1.1\r\nHost: admin.internal\r\n\r\n")
    assert b"admin" not in sent


@pytest.mark.parametrize(
    "header",
    [
        b"Proxy-Authorization: Basic YTpi",
        b"Proxy-Connection: keep-alive",
        b"Keep-Alive: timeout=5",
        b"TE: trailers",
        b"Upgrade: websocket",
        b"Connection: keep-alive, X-Mine\r\nX-Mine: 1",
    ],
)
def test_what_is_about_this_connection_does_not_go_further(header: bytes) -> None:
    _, sent = asked(b"GET http://a/ HTTP/1.1\r\nHost: a\r\nX-Kept: 1\r\n" + header + b"\r\n\r\n")
    assert sent == b"GET / HTTP/1.1\r\nHost: a\r\nX-Kept: 1\r\nVia: 1.1 wirewright\r\n\r\n"


def test_a_body_is_passed_on_as_it_comes() -> None:
    exchange, sent = asked(b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
    assert sent.endswith(b"\r\n\r\nabc")
    assert exchange.reading_client
    assert to_origin(exchange.from_client(b"def")) == b"def"
    assert not exchange.reading_client


def test_a_body_in_chunks_is_chunked_anew_without_its_trailers() -> None:
    head = b"POST http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    exchange, sent = asked(head + b"3;x=y\r\nabc\r\n")
    assert sent.endswith(b"\r\n\r\n3\r\nabc\r\n")
    assert to_origin(exchange.from_client(b"0\r\nX-Forwarded-User: root\r\n\r\n")) == b"0\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
        b"POST http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST http://a/ HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 3\r\n\r\nabc",
        POST + b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\n X: folded-first\r\nHost: b\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nX: a\x00b\r\nHost: a\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\n\r\n",
    ],
)
def test_what_two_ends_could_read_differently_is_refused_and_reaches_nobody(request_: bytes) -> None:
    exchange = Exchange()
    actions = exchange.from_client(request_)
    assert connects(actions) == []
    assert status(actions) in {400, 501}
    assert actions[-1] == CloseClient()
    assert exchange.malformed


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"*",
        b"https://a/",
        b"ftp://a/",
        b"http://",
        b"http:///x",
        b"http://user@a/",
        b"http://user:password@a/",
        b"http://a:0/",
        b"http://a:99999/",
        b"http://a:x/",
        b"http://[::1/",
        b"http://[zz]/",
        b"http://a b/",
        b"http://a/#fragment",
        b"http://a\\b/",
    ],
)
def test_a_target_that_cannot_be_is_refused(target: bytes) -> None:
    actions = Exchange().from_client(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert connects(actions) == []
    assert status(actions) == 400


@pytest.mark.parametrize(
    ("target", "where", "asked_for"),
    [
        (b"http://a", ("a", 80), b"/"),
        (b"HTTP://a:8080/x", ("a", 8080), b"/x"),
        (b"http://a?q", ("a", 80), b"/?q"),
        (b"http://[fd00::1]:81/", ("fd00::1", 81), b"/"),
        (b"http://10.0.0.1/a//b?c=http://d/", ("10.0.0.1", 80), b"/a//b?c=http://d/"),
    ],
)
def test_a_target_is_taken_apart(target: bytes, where: tuple[str, int], asked_for: bytes) -> None:
    exchange = Exchange()
    assert connects(exchange.from_client(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")) == [where]
    assert to_origin(exchange.connected()).split(b" ")[1] == asked_for


def test_options_without_a_path_asks_for_the_server_as_a_whole() -> None:
    _, sent = asked(b"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n")
    assert sent.startswith(b"OPTIONS * HTTP/1.1\r\n")


def test_connect_switches_and_loses_no_byte() -> None:
    exchange = Exchange()
    actions = exchange.from_client(b"CONNECT a.internal:443 HTTP/1.1\r\nHost: a.internal:443\r\n\r\nhello")
    assert actions == [Connect("a.internal", 443)]
    assert exchange.switching
    actions = exchange.connected()
    assert to_client(actions) == b"HTTP/1.1 200 Connection established\r\n\r\n"
    assert actions[-1] == Switch(b"hello")


@pytest.mark.parametrize(
    "head",
    [
        b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:0 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT http://a:443/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT :443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_a_connect_that_cannot_be_is_refused(head: bytes) -> None:
    actions = Exchange().from_client(head)
    assert connects(actions) == []
    assert status(actions) == 400


@pytest.mark.parametrize(
    ("error", "code"), [(RefusedError("a refused"), 502), (ConnectTimeoutError("a is silent"), 504)]
)
@pytest.mark.parametrize("method", [b"GET http://a/", b"CONNECT a:443"])
def test_an_origin_that_cannot_be_reached_is_told_in_words(method: bytes, error: OSError, code: int) -> None:
    exchange = Exchange()
    exchange.from_client(method + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    actions = exchange.unreachable(error)
    assert status(actions) == code
    assert str(error).encode() in to_client(actions)
    assert actions[-1] == CloseClient()


def basic(text: bytes) -> bytes:
    return b"Proxy-Authorization: Basic " + base64.b64encode(text)


@pytest.mark.parametrize(
    "header",
    [
        b"X: none",
        basic(b"ann:wrong"),
        basic(b"bob:secret"),
        basic(b"annsecret"),
        b"Proxy-Authorization: Bearer secret",
        b"Proxy-Authorization: Basic ***",
        b"Proxy-Authorization: Basic",
        b"Authorization: Basic " + base64.b64encode(b"ann:secret"),
    ],
)
@pytest.mark.parametrize("method", [b"GET http://a/", b"CONNECT a:443"])
def test_who_does_not_say_the_password_is_asked_for_it(method: bytes, header: bytes) -> None:
    exchange = Exchange(Credentials(b"ann", b"secret"))
    actions = exchange.from_client(method + b" HTTP/1.1\r\nHost: a\r\n" + header + b"\r\n\r\n")
    assert connects(actions) == []
    assert status(actions) == 407
    assert b"\r\nProxy-Authenticate: Basic " in to_client(actions)
    assert exchange.unauthorised


@pytest.mark.parametrize("method", [b"GET http://a/", b"CONNECT a:443"])
def test_who_says_the_password_is_served(method: bytes) -> None:
    exchange = Exchange(Credentials(b"ann", b"se:cret"))
    head = method + b" HTTP/1.1\r\nHost: a\r\n" + basic(b"ann:se:cret") + b"\r\n\r\n"
    assert len(connects(exchange.from_client(head))) == 1
    assert b"Proxy-Authorization" not in to_origin(exchange.connected())


def test_the_second_request_of_a_connection_is_asked_for_the_password_too() -> None:
    exchange = Exchange(Credentials(b"ann", b"secret"))
    exchange.from_client(b"GET http://a/ HTTP/1.1\r\nHost: a\r\n" + basic(b"ann:secret") + b"\r\n\r\n")
    exchange.connected()
    exchange.from_origin(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert status(exchange.from_client(GET)) == 407


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    exchange, _ = asked(GET)
    actions = exchange.from_origin(b"HTTP/1.0 200 OK\r\n\r\nhel")
    actions += exchange.from_origin(b"lo")
    actions += exchange.from_origin(b"")
    assert b"Transfer-Encoding: chunked" in to_client(actions)
    assert to_client(actions).endswith(b"2\r\nlo\r\n0\r\n\r\n")
    assert exchange.idle


def test_an_old_client_gets_the_same_answer_until_its_connection_closes() -> None:
    exchange, _ = asked(b"GET http://a/ HTTP/1.0\r\nHost: a\r\n\r\n")
    actions = exchange.from_origin(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert to_client(actions) == b""
    actions = exchange.from_origin(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    )
    assert to_client(actions).endswith(b"\r\n\r\nhi")
    assert actions[-1] == CloseClient()


def test_a_word_in_advance_is_passed_on() -> None:
    exchange, sent = asked(
        b"POST http://a/ HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    )
    assert b"Expect: 100-continue" in sent
    assert to_client(exchange.from_origin(b"HTTP/1.1 100 Continue\r\n\r\n")).startswith(
        b"HTTP/1.1 100 Continue"
    )


def test_an_answer_to_head_has_a_length_and_no_body() -> None:
    exchange, _ = asked(b"HEAD http://a/ HTTP/1.1\r\nHost: a\r\n\r\n")
    actions = exchange.from_origin(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
    assert b"Content-Length: 500" in to_client(actions)
    assert exchange.idle
    assert status(exchange.from_client(b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n")) == 400


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 1\r\n\r\n",
        b"",
    ],
)
def test_an_answer_that_is_none_becomes_an_error_of_the_gateway(answer: bytes) -> None:
    exchange, _ = asked(GET)
    actions = exchange.from_origin(answer)
    assert status(actions) == 502
    assert actions[-1] == CloseClient()


def test_an_answer_that_breaks_off_is_cut_off_for_the_client_too() -> None:
    exchange, _ = asked(GET)
    exchange.from_origin(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf")
    assert exchange.from_origin(b"")[-1] == CloseClient(cut=True)


def test_an_origin_that_resets_before_it_answers_is_told() -> None:
    exchange, _ = asked(GET)
    assert status(exchange.origin_lost()) == 502


def test_both_lengths_in_an_answer_become_one() -> None:
    exchange, _ = asked(GET)
    actions = exchange.from_origin(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    )
    assert b"ontent-Length" not in to_client(actions)


def test_an_answer_before_the_end_of_the_request_ends_the_connection() -> None:
    exchange, _ = asked(b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
    actions = exchange.from_origin(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    assert status(actions) == 413
    assert actions[-2:] == [CloseOrigin(), CloseClient()]


def test_an_idle_origin_that_closes_is_let_go_and_the_next_request_connects_again() -> None:
    exchange, _ = asked(GET)
    exchange.from_origin(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert exchange.from_origin(b"") == [CloseOrigin()]
    assert connects(exchange.from_client(GET)) == [("web.internal", 80)]


UNASKED = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 20",
    b"\r\n",
]
OTHER = b"GET http://bank/ HTTP/1.1\r\nHost: bank\r\n\r\n"


@pytest.mark.parametrize("unasked", UNASKED)
def test_what_an_idle_origin_says_is_dropped_with_its_connection(unasked: bytes) -> None:
    exchange, _ = asked(GET)
    exchange.from_origin(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert exchange.from_origin(unasked) == [CloseOrigin()]
    assert exchange.from_origin(b"") == []
    assert exchange.idle
    assert connects(exchange.from_client(GET)) == [("web.internal", 80)]
    exchange.connected()
    assert to_client(exchange.from_origin(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nours")).endswith(
        b"ours"
    )


@pytest.mark.parametrize("unasked", UNASKED)
@pytest.mark.parametrize("following", [GET, OTHER])
def test_what_follows_an_answer_in_the_same_bytes_answers_no_other_request(
    unasked: bytes, following: bytes
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine"
    for pipelined in (True, False):
        exchange, _ = asked(GET + following if pipelined else GET)
        actions = exchange.from_origin(answer + unasked)
        assert to_client(actions).count(b"HTTP/1.1") == 1
        assert to_client(actions).endswith(b"mine")
        assert CloseOrigin() in actions
        if not pipelined:
            actions = exchange.from_client(following)
        assert len(connects(actions)) == 1
        assert to_origin(actions) == b""


def test_a_client_that_goes_between_requests_is_let_go() -> None:
    assert Exchange().from_client(b"") == [CloseClient()]


def test_a_head_without_end_is_refused() -> None:
    exchange = Exchange()
    actions = exchange.from_client(b"GET http://a/ HTTP/1.1\r\nX: " + b"y" * 70000)
    assert status(actions) == 431
    assert exchange.from_client(b"more") == []


@given(st.lists(st.binary(max_size=80), max_size=20))
def test_no_bytes_of_a_client_raise_an_error(pieces: list[bytes]) -> None:
    exchange = Exchange()
    for piece in pieces:
        exchange.from_client(piece)


@given(st.lists(st.binary(max_size=80), max_size=20), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n"]))
def test_no_bytes_of_an_origin_raise_an_error(pieces: list[bytes], begin: bytes) -> None:
    exchange, _ = asked(GET)
    for piece in [begin or b"H", *pieces]:
        exchange.from_origin(piece)
