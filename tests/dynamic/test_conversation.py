from __future__ import annotations

from wirewright.dynamic.conversation import LIFE, MAX_REQUESTS, PATIENCE, Conversation
from wirewright.dynamic.messages import Code, RequestError, RequestIp


def test_a_request_is_given_when_it_is_whole() -> None:
    talk = Conversation(0)
    assert talk.receive(b"request_ip=1\nipv") == []
    assert talk.receive(b"4=\n\nrequest_ip=1\n\n")[1:] == [RequestIp()]


def test_bytes_that_trickle_in_win_no_time() -> None:
    talk = Conversation(100)
    for second in range(25):
        talk.receive(b"request_ip=1\n"[second % 13 : second % 13 + 1] if second < 13 else b"")
    assert talk.deadline == 100 + PATIENCE
    talk.answered(120)
    assert talk.deadline == 120 + PATIENCE


def test_whoever_asks_all_the_time_has_to_end_nevertheless() -> None:
    talk = Conversation(100)
    for now in (129, 158):
        talk.answered(now)
        assert not talk.is_over(now)
    assert talk.deadline == 100 + LIFE
    assert talk.is_over(100 + LIFE)


def test_no_more_than_so_many_requests_are_answered() -> None:
    talk = Conversation(100)
    for _ in range(MAX_REQUESTS):
        assert not talk.is_over(100)
        talk.answered(100)
    assert talk.is_over(100)


def test_what_is_wrong_comes_behind_what_was_asked_before() -> None:
    first, last = Conversation(0).receive(b"request_ip=1\n\nrequest_ip=7\n\nrequest_ip=1\n\n")
    assert isinstance(first, RequestIp)
    assert isinstance(last, RequestError)
    assert last.code is Code.UNSUPPORTED
    [wrong] = Conversation(0).receive(b"what?\n")
    assert isinstance(wrong, RequestError)
    assert wrong.code is Code.INVALID
