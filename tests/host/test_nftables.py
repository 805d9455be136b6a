"""Transactions of nf_tables with kernels that refuse them, each in its own way."""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import ip_address

import pytest

from wirewright.host import firewall

ADDRESSES = [ip_address("10.7.0.1")]
# A guard's changes: a table made, deleted and made, three chains, a rule for the address, two for marks.
LAST = 9


def answer(number: int, code: int) -> bytes:
    """What the kernel says of a message: an error, with the header of the message after it."""
    return struct.pack("=IHHIIi", 36, 2, 0, number, 0, -code) + struct.pack("=IHHII", 16, 0, 0, number, 0)


class Kernel:
    """A socket of netlink that answers as told, and then not at all."""

    def __init__(self, *datagrams: bytes) -> None:
        self.datagrams = list(datagrams)
        self.sent: list[bytes] = []

    def __call__(self, *_: int) -> Kernel:
        return self

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def settimeout(self, seconds: float) -> None:
        assert 0 < seconds < 60

    def bind(self, address: tuple[int, int]) -> None:
        pass

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def recv(self, size: int) -> bytes:
        if not self.datagrams:
            raise TimeoutError("timed out")
        datagram = self.datagrams.pop(0)
        assert len(datagram) <= size
        return datagram


def guard_with(monkeypatch: pytest.MonkeyPatch, *datagrams: bytes) -> Kernel:
    kernel = Kernel(*datagrams)
    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", kernel)
        firewall.guard("wg0", 1, ADDRESSES, 4)
    return kernel


def test_a_transaction_is_one_message_to_the_kernel_with_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = guard_with(monkeypatch, answer(LAST, 0))
    (sent,) = kernel.sent
    at, numbers, asking = 0, [], []
    while at < len(sent):
        size, _, flags, number, _ = struct.unpack_from("=IHHII", sent, at)
        numbers.append(number)
        asking += [number] if flags & 4 else []
        at += size + -size % 4
    assert numbers == list(range(LAST + 2))
    assert asking == [LAST]


def test_a_kernel_without_nf_tables_refuses_the_whole_and_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(OSError, match="this kernel has no nf_tables") as caught:
        guard_with(monkeypatch, answer(0, errno.EOPNOTSUPP))
    assert caught.value.errno == errno.EOPNOTSUPP
    assert caught.value.filename == "wg0"


@pytest.mark.parametrize("together", [True, False])
def test_of_several_refusals_the_first_is_told(monkeypatch: pytest.MonkeyPatch, together: bool) -> None:
    answers = [answer(4, errno.EBUSY), answer(7, errno.ENOENT), answer(LAST, errno.ENOENT)]
    with pytest.raises(
        OSError, match=r"refuses a part of the firewall \(a chain of type filter\): Device"
    ) as caught:
        guard_with(monkeypatch, *([b"".join(answers)] if together else answers))
    assert caught.value.errno == errno.EBUSY


def test_a_kind_of_rule_that_the_kernel_lacks_is_named_and_can_be_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rule = r'\(iifname != "wg0" ip daddr 10.7.0.1 fib saddr type != local drop\)'
    with pytest.raises(OSError, match=rule) as caught:
        guard_with(monkeypatch, answer(7, errno.ENOENT), answer(LAST, 0))
    assert caught.value.errno == errno.EOPNOTSUPP


def test_a_kernel_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        TimeoutError, match=r"refuses a part of the firewall \(all of it\): Connection timed out"
    ):
        guard_with(monkeypatch)


@pytest.mark.parametrize("garbage", [b"", b"\0", bytes(16), bytes(64), answer(LAST, 0)[:18], b"\xff" * 40])
def test_answers_that_are_none_are_passed_over(monkeypatch: pytest.MonkeyPatch, garbage: bytes) -> None:
    guard_with(monkeypatch, garbage, answer(LAST, 0))


@pytest.mark.parametrize("name", ["", "sixteen-bytes-xx", "two\nlines", "nul\0"])
def test_what_is_no_name_of_an_interface_is_refused(name: str) -> None:
    for call in (firewall.unguard, firewall.guarded):
        with pytest.raises(OSError, match="the name of an interface has 1 to 15 bytes"):
            call(name)
