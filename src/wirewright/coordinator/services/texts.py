"""Names and keys as people give them: read once, here."""

from __future__ import annotations

import re
from typing import Final

from wirewright.coordinator.errors import InvalidError
from wirewright.keys import PublicKey

NAME_LENGTH: Final = 64
"""Characters of a name, at most."""
_HANDLE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._@-]{0,63}", re.ASCII)


def label(text: str, what: str) -> str:
    """Return a name for people to read: printable, not empty, without blanks around it."""
    name = text.strip()
    if not name or len(name) > NAME_LENGTH or not name.isprintable():
        raise InvalidError(f"{what} has 1 to {NAME_LENGTH} printable characters.")
    return name


def handle(text: str, what: str) -> str:
    """Return a name that is unique: letters, digits, and ``._@-`` after the first."""
    if not _HANDLE.fullmatch(text):
        raise InvalidError(
            f"{what} has 1 to 64 letters, digits, dots, dashes, underscores or @, a letter or digit first."
        )
    return text


def is_handle(text: str) -> bool:
    """Whether a text can be somebody's name; what cannot need not be looked for, and may break a database."""
    return _HANDLE.fullmatch(text) is not None


def public_key(text: str) -> PublicKey:
    """Return a peer's public key, which must be one that a handshake can be made with."""
    try:
        key = PublicKey.from_base64(text)
    except ValueError:
        raise InvalidError("A public key is 32 bytes in base64: 44 characters, the last one =.") from None
    if key.is_low_order:
        raise InvalidError("This public key is a point of low order, with which there are no secrets.")
    return key
