"""Secrets that are shown once: 160 bits of randomness, a public part to find them by, a hash to compare with.

They are random, so their hash need not be slow (which only protects what people think up).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import b32encode
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What a secret is for; the first letters of it."""

    TOKEN = "wwt"  # noqa: S105 (a prefix)
    INVITATION = "wwi"
    GATEWAY = "wwg"
    SESSION = "wws"
    SETUP = "wwf"
    LINK = "wwl"


_FORM = re.compile(r"(wwt|wwi|wwg|wws|wwf|wwl)_([a-z2-7]{16})_([a-z2-7]{32})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret; its ``repr`` shows the public part only."""

    kind: Kind
    public_id: str
    _text: str = field(repr=False)

    @classmethod
    def generate(cls, kind: Kind) -> Secret:
        """Make a new one from the system's randomness."""
        public_id = _letters(10)
        return cls(kind, public_id, f"{kind.value}_{public_id}_{_letters(20)}")

    @classmethod
    def parse(cls, kind: Kind, text: str) -> Secret | None:
        """Read one of a kind; ``None`` for anything else."""
        match = _FORM.fullmatch(text) if len(text) < 64 else None
        return cls(kind, match[2], text) if match and match[1] == kind.value else None

    def expose(self) -> str:
        """Return the text, to be shown once."""
        return self._text

    @property
    def hash(self) -> bytes:
        """What is kept of it."""
        return hashlib.sha256(self._text.encode()).digest()

    def matches(self, kept: bytes | None) -> bool:
        """Compare with the hash that is kept, in constant time; ``None`` (there is none) never matches."""
        return hmac.compare_digest(self.hash, kept or bytes(32)) and kept is not None


def _letters(size: int) -> str:
    return b32encode(secrets.token_bytes(size)).decode().lower()
