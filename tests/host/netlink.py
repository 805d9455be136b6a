"""The kernel's end of a netlink socket, played; and messages that were written out by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, Self

FAMILY = 0x1C

Answer = bytes | Callable[[memoryview], int]


def written(text: str) -> bytes:
    """Read hexadecimal digits; a comment goes from # to the end of its line."""
    return bytes.fromhex("".join(line.partition("#")[0] for line in text.splitlines()))


# What comes first: the number of the family, which is asked for by name.
FAMILY_ANSWER = written("""
    1c 00 00 00  10 00  00 00  00 00 00 00  00 00 00 00  # 28 bytes, GENL_ID_CTRL
    01 02 00 00                                          # CTRL_CMD_NEWFAMILY, version 2
    06 00 01 00  1c 00 00 00                             # CTRL_ATTR_FAMILY_ID
""")
DONE = written("""
    14 00 00 00  03 00  02 00  00 00 00 00  00 00 00 00  # 20 bytes, NLMSG_DONE, NLM_F_MULTI
    00 00 00 00                                          # no error
""")


def error(number: int) -> bytes:
    """Write an NLMSG_ERROR; with 0 it acknowledges. The request that it holds is cut off, as it may be."""
    head = written("24 00 00 00  02 00  00 01  00 00 00 00  00 00 00 00")
    return head + (-number).to_bytes(4, "little", signed=True) + bytes(16)


ACK = error(0)


class FakeSocket:
    """Takes requests, and gives an answer a read; one without a sequence number has the request's."""

    def __init__(
        self, answers: Iterable[Answer], *, before: Iterable[Answer] = (FAMILY_ANSWER + ACK,)
    ) -> None:
        self.requests: list[bytes] = []
        self._answers = iter((*before, *answers))
        self._sequence = bytes(4)
        self.closed = False

    def answer_first(self, answer: Answer) -> None:
        """Answer the question for the family otherwise."""
        self._answers = iter((answer,))

    def send(self, message: bytes | memoryview) -> None:
        self.heed(message)
        self.requests.append(bytes(message))

    def heed(self, message: bytes | memoryview) -> None:
        """Note what the next answers are to."""
        self._sequence = bytes(message[8:12])

    def recv_into(self, buffer: bytearray) -> int:
        answer = next(self._answers, None)
        if answer is None:
            raise TimeoutError
        with memoryview(buffer) as place:
            if callable(answer):
                length = answer(place)
            else:
                length = min(len(answer), len(buffer))
                place[:length] = answer[:length]
            with place[:length] as written_part:
                self._stamp(written_part)
        return length

    def _stamp(self, answer: memoryview) -> None:
        at = 0
        while at + 16 <= len(answer):
            length, sequence = struct.unpack_from("=I4xI", answer, at)
            if not sequence:
                answer[at + 8 : at + 12] = self._sequence
            at += max(16, length + -length % 4)

    def recv(self, size: int) -> bytes:
        buffer = bytearray(size)
        length = self.recv_into(buffer)
        return bytes(buffer[:length])

    def settimeout(self, seconds: float) -> None:
        pass

    def setsockopt(self, *option: int) -> None:
        pass

    def bind(self, address: object) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def module(self) -> Any:
        """Return what stands for the module `socket` where a socket is opened."""
        names = {"AF_NETLINK": 16, "SOCK_RAW": 3, "SOCK_CLOEXEC": 0, "NETLINK_ROUTE": 0}
        return SimpleNamespace(socket=lambda *_: self, **names)
