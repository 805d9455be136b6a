"""Messages as the protocol says: lines of ``key=value``, and an empty line at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

Pairs = list[tuple[str, str]]


class EndedError(Exception):
    """The other side has closed the connection; what came before is in the argument."""


class MalformedError(Exception):
    """The other side sent what is no message."""


class Stream:
    """Messages over one connected socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._unread = b""

    def send(self, pairs: Pairs) -> None:
        self.connection.sendall(text(pairs))

    def receive(self) -> Pairs:
        """Return the pairs of the next message."""
        pairs: Pairs = []
        while True:
            line = self._line()
            if not line:
                return pairs
            if len(line) + 1 >= 4096:
                raise MalformedError("a line of 4096 bytes or more")
            if b"\0" in line or not line.isascii():
                raise MalformedError(f"not ASCII, or a NUL: {line!r}")
            key, equals, value = line.decode("ascii").partition("=")
            if not equals or not key:
                raise MalformedError(f"not key=value: {line!r}")
            pairs.append((key, value))

    def _line(self) -> bytes:
        while b"\n" not in self._unread:
            more = self.connection.recv(4096)
            if not more:
                raise EndedError(self._unread)
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        return line


def text(pairs: Pairs) -> bytes:
    return "".join(f"{key}={value}\n" for key, value in pairs).encode("ascii") + b"\n"


def number(value: str) -> int:
    """Read a decimal number of 32 bits."""
    if not value.isascii() or not value.isdigit() or int(value) >= 1 << 32:
        raise MalformedError(f"not a number of 32 bits: {value!r}")
    return int(value)
