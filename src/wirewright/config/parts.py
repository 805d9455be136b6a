r"""Text with secrets in it: strings, and handles where the core holds back what is or may be a key.

The core hands out text in which secret number N is the placeholder ``\0N\0``. A placeholder's number means
something only beside the list of secrets it came with, so everything that outlives a text holds *parts*.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from wirewright._core import ConfigText, HiddenText, parse_config_bytes, write_revealed
from wirewright.keys import PresharedKey, SecretKey

Parts: TypeAlias = tuple[str | HiddenText, ...]
"""No string is empty and no two strings are neighbours, so equal content means equal parts."""

SPACE = " \t\n\v\f\r"
"""White space as ``wg`` sees it: that of the C locale, and no other character of Unicode."""

HIDDEN = "(hidden)"
"""What a person is shown in the place of a secret."""

_PLACEHOLDER = re.compile("\0([0-9]+)\0")
_SHOWN = 48


@dataclass(frozen=True, slots=True)
class RedactedText:
    """A text with placeholders, and the secrets they stand for."""

    text: str
    secrets: tuple[HiddenText, ...] = ()

    def parts(self, text: str) -> Parts:
        """Split a piece of the text into strings and secrets."""
        pieces = _PLACEHOLDER.split(text)
        parts: list[str | HiddenText] = []
        for index, piece in enumerate(pieces):
            if index % 2:
                parts.append(self.secrets[int(piece)])
            elif piece:
                parts.append(piece)
        return tuple(parts)

    def encode(self) -> bytes:
        """Give the bytes that the core's ``write_config`` takes. Raises ValueError for lone surrogates."""
        return self.text.encode("utf-8", "surrogateescape")

    def write_to(self, descriptor: int) -> None:
        """Write the text with its secrets to an open file; no secret becomes a Python object."""
        write_revealed(descriptor, self.encode(), self.secrets)


def decode(config: ConfigText) -> RedactedText:
    """Read the core's answer as text; bytes that are not UTF-8 become surrogates and survive writing back."""
    return RedactedText(config.text.decode("utf-8", "surrogateescape"), config.secrets)


def place(parts: Parts, secrets: list[HiddenText]) -> str:
    """Join parts into text with placeholders, appending their secrets to ``secrets``."""
    text = []
    for part in parts:
        if isinstance(part, str):
            text.append(part)
        else:
            text.append(f"\0{len(secrets)}\0")
            secrets.append(part)
    return "".join(text)


def placeholder(key: SecretKey | PresharedKey, secrets: list[HiddenText]) -> str:
    """Give what stands for a key in a text, appending the key to ``secrets``."""
    return place((HiddenText.of(key),), secrets)


def compact(text: str, secrets: Sequence[HiddenText]) -> RedactedText:
    """Give placeholders new numbers in the order they stand, and let go of secrets that none names."""
    kept: list[HiddenText] = []

    def renumber(match: re.Match[str]) -> str:
        kept.append(secrets[int(match[1])])
        return f"\0{len(kept) - 1}\0"

    return RedactedText(_PLACEHOLDER.sub(renumber, text), tuple(kept))


def redacted(text: str) -> RedactedText:
    """Have the core take the secrets out of a text that Python holds already.

    Raises ValueError if the text cannot be encoded, is too long or holds a NUL character.
    """
    return decode(parse_config_bytes(text.encode("utf-8", "surrogateescape")))


def plain(parts: Parts) -> str:
    """Give the text for display: secrets are replaced by a word."""
    return "".join(part if isinstance(part, str) else HIDDEN for part in parts)


def show(text: str) -> str:
    """Quote a piece of a text for a message: on one line, not long, nothing that a terminal would obey."""
    text = _PLACEHOLDER.sub(HIDDEN, text)
    if len(text) > _SHOWN:
        text = text[:_SHOWN] + "…"
    return "'" + "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text) + "'"
