"""Messages as bytes: lines of ``key=value``, each ended by LF, and an empty line behind the last.

Nothing is known here of what keys mean. What comes from the network is bounded: a line has under 4,096
bytes, a message at most 128 lines, and a byte of zero is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINE: Final = 4095
"""Bytes of a line, without its end."""
MAX_LINES: Final = 128
MAX_ERROR_TEXT: Final = 255

Message: TypeAlias = tuple[tuple[str, str], ...]

_KEY: Final = re.compile(r"[!-<>-~]+", re.ASCII)


class ProtocolError(Exception):
    """What came is not the protocol; the text is for a person, and ASCII."""


class Reader:
    """Takes bytes as they come and gives messages."""

    def __init__(self) -> None:
        self._rest = b""
        self._pairs: list[tuple[str, str]] = []

    @property
    def is_empty(self) -> bool:
        """Whether nothing of a message has come yet."""
        return not self._rest and not self._pairs

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take bytes and give the messages that are whole now, in order.

        Raises ProtocolError behind those that came before what is wrong; after that it is of no use.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            _check(line)
            if line:
                self._add(line)
                continue
            if not self._pairs:
                raise ProtocolError("a message without a command")
            message, self._pairs = tuple(self._pairs), []
            yield message
        _check(self._rest)

    def _add(self, line: bytes) -> None:
        if len(self._pairs) >= MAX_LINES:
            raise ProtocolError(f"a message of more than {MAX_LINES} lines")
        # What is not ASCII may stand in a text, or in a value that nobody here reads.
        key, equals, value = line.decode("ascii", "backslashreplace").partition("=")
        if not equals or not _KEY.fullmatch(key):
            raise ProtocolError("a line that is not key=value")
        self._pairs.append((key, value))


def encode(message: Message) -> bytes:
    """Write a message. Raises ValueError if it cannot be one."""
    lines = []
    for key, value in message:
        if not _KEY.fullmatch(key) or not value.isascii() or not value.isprintable():
            raise ValueError(f"cannot be a line of a message: {key}={value!r}")
        lines.append(f"{key}={value}\n")
    if not lines or len(lines) > MAX_LINES or max(map(len, lines)) > MAX_LINE + 1:
        raise ValueError("cannot be a message: no line, too many, or one that is too long")
    return ("".join(lines) + "\n").encode()


def error_text(text: str) -> str:
    """Make a text fit to be an ``errmsg``."""
    plain = text.encode("ascii", "backslashreplace").decode()
    return "".join(each if each.isprintable() else " " for each in plain)[:MAX_ERROR_TEXT]


def _check(line: bytes) -> None:
    if b"\0" in line:
        raise ProtocolError("a byte of zero in a message")
    if len(line) > MAX_LINE:
        raise ProtocolError(f"a line of more than {MAX_LINE} bytes")
