"""What rtnetlink tells of the host, played: dumps that were interrupted, failed, or are none."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from typing import Any

import pytest

from tests.host.netlink import Answer, FakeSocket, written
from wirewright.host import dumps
from wirewright.host.addresses import temporary_addresses
from wirewright.host.dumps import ATTEMPTS
from wirewright.host.network import Network

MULTI, INTERRUPTED = 0x2, 0x12
NEWLINK, NEWADDR, NEWROUTE, NEWRULE = 16, 20, 24, 32
Read = Callable[[Network], list[Any]]


def message(kind: int, body: bytes, flags: int = MULTI, sequence: int = 0) -> bytes:
    """Write a message; without a sequence number it answers the request."""
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body


def attribute(kind: int, content: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(content), kind) + content + bytes(-len(content) % 4)


def end(number: int = 0, flags: int = MULTI) -> bytes:
    """Write what ends a dump, and says whether it failed."""
    return message(3, struct.pack("=i", -number), flags)


def link(name: str, index: int, flags: int = MULTI, sequence: int = 0) -> bytes:
    body = struct.pack("=BxHiII", 0, 1, index, 1, 0)
    body += attribute(3, name.encode() + b"\0") + attribute(4, struct.pack("=I", 1500))
    return message(NEWLINK, body, flags, sequence)


def rule(table: int) -> bytes:
    return message(NEWRULE, struct.pack("=BBBBBBBBI", 2, 0, 0, 0, table, 0, 0, 1, 0))


def route(table: int, link: int, flags: int = 0) -> bytes:
    body = struct.pack("=BBBBBBBBI", 2, 8, 0, 0, min(table, 255), 3, 0, 1, flags)
    body += attribute(1, bytes([10, 0, 0, 0])) + attribute(4, struct.pack("=I", link))
    return message(NEWROUTE, body + attribute(15, struct.pack("=I", table)))


def address(last: int, index: int, seconds: int, flags: int = MULTI) -> bytes:
    body = struct.pack("=BBBBI", 2, 32, 0, 0, index) + attribute(2, bytes([10, 0, 0, last]))
    return message(NEWADDR, body + attribute(6, struct.pack("=IIII", seconds, seconds, 0, 0)), flags)


def told(read: Read, *answers: Answer, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], FakeSocket]:
    """Read from a kernel that gives these answers."""
    kernel = FakeSocket(answers, before=())
    monkeypatch.setattr(dumps, "socket", kernel.module())
    with Network() as network:
        return read(network), kernel


def names(*answers: Answer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return [each.name for each in told(Network.links, *answers, monkeypatch=monkeypatch)[0]]


def test_a_dump_in_parts_is_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(link("a", 1) + link("b", 2), link("c", 3), end(), monkeypatch=monkeypatch) == ["a", "b", "c"]


def test_a_dump_during_which_something_changed_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    again = link("a", 1), link("b", 2), end()
    for broken in (
        (link("a", 1, INTERRUPTED), end()),
        (link("a", 1), end(flags=INTERRUPTED)),
        (link("a", 1) + link("c", 3, INTERRUPTED) + end(),),
    ):
        assert names(*broken, *broken, *again, monkeypatch=monkeypatch) == ["a", "b"]


def test_what_always_changes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = link("a", 1, INTERRUPTED) + end()
    with pytest.raises(InterruptedError, match=r"faster than it can be read.*the interfaces"):
        names(*[broken] * ATTEMPTS, link("a", 1), end(), monkeypatch=monkeypatch)


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EPERM])
def test_a_dump_that_fails_on_the_way_is_an_error_and_no_shorter_list(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answers in ((link("a", 1), end(number)), (message(2, struct.pack("=i", -number) + bytes(16), 0),)):
        with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is compared
            names(*answers, monkeypatch=monkeypatch)
        assert (caught.value.errno, caught.value.filename) == (number, "the interfaces")


@pytest.mark.parametrize("read", [lambda network: network.rules(6), lambda network: network.routes(6)])
def test_of_a_family_that_the_kernel_lacks_there_is_nothing(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told(read, end(errno.EAFNOSUPPORT), monkeypatch=monkeypatch)[0] == []


def test_of_a_table_that_is_empty_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    read: Read = lambda network: network.routes(4, table=51820)  # noqa: E731
    found, kernel = told(read, end(errno.ENOENT), monkeypatch=monkeypatch)
    assert found == []
    # The kernel is asked for that table only, a router's others being long.
    assert attribute(15, struct.pack("=I", 51820)) in kernel.requests[0]
    with pytest.raises(FileNotFoundError):
        told(lambda network: network.routes(4), end(errno.ENOENT), monkeypatch=monkeypatch)


def test_what_an_old_kernel_tells_too_much_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    cloned = 0x200
    answer = route(254, 1) + route(51820, 7) + route(51820, 8) + route(51820, 7, cloned) + end()

    def read(network: Network) -> list[Any]:
        return network.routes(4, table=51820, link=7)

    found, _ = told(read, answer, monkeypatch=monkeypatch)
    assert [(each.table, each.link) for each in found] == [(51820, 7)]


def test_answers_to_others_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    strange = link("other", 9, INTERRUPTED, sequence=77)
    assert names(strange + link("a", 1), strange, end(), monkeypatch=monkeypatch) == ["a"]


def test_addresses_that_end_are_all_told_though_some_come_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    forever = 0xFFFF_FFFF
    # The loopback interface has the number 1.
    whole = address(1, 1, 60) + address(2, 1, forever) + address(3, 2, 60) + address(4, 1, 60), end()
    read: Read = lambda _: temporary_addresses("lo")  # noqa: E731
    found, _ = told(read, address(1, 1, 60, INTERRUPTED) + end(), *whole, monkeypatch=monkeypatch)
    assert list(map(str, found)) == ["10.0.0.1/32", "10.0.0.4/32"]
    with pytest.raises(OSError, match="'lo'"):
        told(read, address(1, 1, 60), end(errno.ENOMEM), monkeypatch=monkeypatch)


def test_rules_are_told_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = told(lambda network: network.rules(4), rule(254) + rule(253) + end(), monkeypatch=monkeypatch)
    assert [each.table for each in found] == [254, 253]


def test_a_kernel_that_is_silent_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TimeoutError, match=r"takes too long.*the interfaces"):
        names(link("a", 1), monkeypatch=monkeypatch)


@pytest.mark.parametrize(
    "answer", [bytes(15), bytes(16), written("11 00 00 00  10 00  02 00  01 00 00 00  00 00 00 00")]
)
def test_what_is_no_answer_is_refused(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match=r"cut off|impossible length"):
        names(answer, monkeypatch=monkeypatch)
