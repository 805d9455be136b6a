"""The kernel's end of a netlink socket, played; and messages that were written out by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

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
    """Takes requests, and gives an answer a read."""

    def __init__(self, answers: Iterable[Answer]) -> None:
        self.requests: list[bytes] = []
        self._answers = iter((FAMILY_ANSWER + ACK, *answers))
        self.closed = False

    def answer_first(self, answer: Answer) -> None:
        """Answer the question for the family otherwise."""
        self._answers = iter((answer,))

    def send(self, message: memoryview) -> None:
        self.requests.append(bytes(message))

    def recv_into(self, buffer: bytearray) -> int:
        answer = next(self._answers, None)
        if answer is None:
            raise TimeoutError
        if callable(answer):
            with memoryview(buffer) as place:
                return answer(place)
        length = min(len(answer), len(buffer))
        buffer[:length] = answer[:length]
        return length

    def settimeout(self, seconds: float) -> None:
        pass

    def bind(self, address: object) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def module(self) -> Any:
        """Return what stands for the module `socket` where a socket is opened."""
        return SimpleNamespace(socket=lambda *_: self, AF_NETLINK=16, SOCK_RAW=3, SOCK_CLOEXEC=0)
