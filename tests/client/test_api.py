"""The client of the API: what it repeats, what it bounds, and what it says when something goes wrong."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from wirewright.client import Access, Client, ClientError, RefusedError, UnreachableError
from wirewright.client.api import ATTEMPTS, LARGEST

Handler = Callable[[httpx2.Request], httpx2.Response]


class Server:
    """Answers as it was told to, one answer after another, and remembers what was asked."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[httpx2.Request] = []
        self.slept: list[float] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, url: str = "http://127.0.0.1:8080", token: str | None = None) -> Client:
        return Client(Access(url, token), transport=httpx2.MockTransport(self), sleep=self.slept.append)


def good(**data: Any) -> httpx2.Response:
    return httpx2.Response(200, json=data)


def problem(status: int, kind: str = "refused", detail: str = "No.", **headers: str) -> httpx2.Response:
    body = {"type": f"urn:wirewright:problem:{kind}", "title": "", "status": status, "detail": detail}
    return httpx2.Response(status, json=body, headers=headers)


LOST = httpx2.ReadError("lost")


def test_a_create_whose_answer_was_lost_is_repeated_with_the_same_key() -> None:
    server = Server(LOST, problem(503), good(id="1"))
    assert server.client(token="secret").create("/devices", {"name": "x"}) == {"id": "1"}
    keys = {request.headers["Idempotency-Key"] for request in server.asked}
    assert (len(server.asked), len(keys)) == (3, 1)
    assert {request.content for request in server.asked} == {b'{"name":"x"}'}
    assert server.asked[0].headers["Authorization"] == "Bearer secret"
    assert server.asked[0].url.path == "/api/v1/devices"


def test_two_creates_have_two_keys() -> None:
    server = Server(good(id="1"))
    client = server.client()
    client.create("/devices", {})
    client.create("/devices", {})
    assert len({request.headers["Idempotency-Key"] for request in server.asked}) == 2


def test_a_pause_is_as_long_as_the_coordinator_says() -> None:
    server = Server(problem(429, **{"Retry-After": "7"}), good())
    server.client().get("/devices")
    assert server.slept == [7.0]


def test_nobody_waits_for_longer_than_is_patient() -> None:
    server = Server(problem(429, "too-many", "Come later.", **{"Retry-After": "300"}))
    with pytest.raises(RefusedError, match="Come later") as caught:
        server.client().get("/devices")
    assert (server.slept, caught.value.http_status, caught.value.kind) == ([], 429, "too-many")


def test_attempts_are_bounded() -> None:
    server = Server(problem(503))
    with pytest.raises(RefusedError):
        server.client().get("/devices")
    assert len(server.asked) == ATTEMPTS


def test_what_is_refused_is_not_repeated() -> None:
    server = Server(problem(409, "pool-full", "The pool is full."))
    with pytest.raises(RefusedError, match="The pool is full") as caught:
        server.client().create("/devices", {})
    assert (len(server.asked), caught.value.kind) == (1, "pool-full")


def test_removing_what_the_attempt_before_removed_is_no_error() -> None:
    server = Server(LOST, problem(404))
    server.client().remove("/devices/1")
    with pytest.raises(RefusedError):
        Server(problem(404)).client().remove("/devices/1")


def test_pages_are_followed_to_the_last() -> None:
    server = Server(good(items=[{"id": "1"}], next="1"), good(items=[{"id": "2"}], next=None))
    assert [each["id"] for each in server.client().pages("/devices", name=None)] == ["1", "2"]
    assert [request.url.params.get("after") for request in server.asked] == [None, "1"]
    assert "name" not in server.asked[0].url.params


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(200, text="<html>hello</html>"),
        httpx2.Response(502, text="Bad gateway"),
        httpx2.Response(200, json=[1]),
        httpx2.Response(404, json={"error": "no"}),
        httpx2.Response(302, headers={"Location": "https://evil.example/"}),
    ],
)
def test_what_no_coordinator_answers_is_told(answer: httpx2.Response) -> None:
    server = Server(answer)
    with pytest.raises(ClientError, match="is it the right URL"):
        server.client(token="secret").get("/devices")
    # A token follows no redirection.
    assert len(server.asked) == 1


def test_an_answer_without_end_is_not_read_whole() -> None:
    class Endless(httpx2.SyncByteStream):
        def __iter__(self) -> Any:
            while True:
                yield b" " * (1 << 20)

    with pytest.raises(ClientError, match=f"more than {LARGEST >> 20} MiB"):
        Server(httpx2.Response(200, stream=Endless())).client().get("/devices")


def test_what_another_machine_says_does_not_reach_the_terminal_as_it_is() -> None:
    with pytest.raises(RefusedError) as caught:
        Server(problem(409, detail="\x1b[31mred\nline")).client().get("/devices")
    assert str(caught.value) == " [31mred line"


def caused(error: Exception) -> httpx2.ConnectError:
    wrapped = httpx2.ConnectError("failed")
    wrapped.__cause__ = error
    return wrapped


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            caused(ConnectionRefusedError(111, "Connection refused")),
            "Nobody listens at http://127.0.0.1:8080",
        ),
        (caused(OSError(113, "No route to host")), "cannot be reached: No route to host"),
        (httpx2.ReadTimeout("x"), "did not answer within 30 s"),
        (caused(ssl.SSLCertVerificationError("x")), "shows a certificate that is not trusted"),
    ],
)
def test_errors_on_the_way_are_words_for_people(error: Exception, said: str) -> None:
    if isinstance(error.__cause__, ssl.SSLCertVerificationError):
        error.__cause__.verify_message = "self-signed certificate"
    with pytest.raises(UnreachableError, match=said):
        Server(error).client().get("/devices")


def test_a_client_shows_no_token() -> None:
    access = Access("https://vpn.example", "wwt_secret")
    assert "secret" not in repr(access)
