from __future__ import annotations

from wirewright.dynamic.conversation import PATIENCE, Conversation
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


def test_what_is_wrong_comes_behind_what_was_asked_before() -> None:
    first, last = Conversation(0).receive(b"request_ip=1\n\nrequest_ip=7\n\nrequest_ip=1\n\n")
    assert isinstance(first, RequestIp)
    assert isinstance(last, RequestError)
    assert last.code is Code.UNSUPPORTED
    [wrong] = Conversation(0).receive(b"what?\n")
    assert isinstance(wrong, RequestError)
    assert wrong.code is Code.INVALID
