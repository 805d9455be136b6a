"""Who may use a proxy: one user name and password, from a file or the environment, never from arguments."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from wirewright.host.exposure import is_exposed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ENVIRONMENT = "WIREWRIGHT_PROXY_CREDENTIALS"
# RFC 1929 section 2: a length is one byte.
LONGEST = 255
_FILE_BYTES = 4096


class CredentialsError(ValueError):
    """Credentials that cannot be used; the text never shows them."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a password."""

    username: bytes
    password: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: bytes, where: str) -> Credentials:
        """Return what "USER:PASSWORD" says; ``where`` it stands is for the error."""
        username, colon, password = text.partition(b":")
        if not (colon and username and password):
            raise CredentialsError(f"{where} does not hold USER:PASSWORD on its first line.")
        if len(username) > LONGEST or len(password) > LONGEST:
            raise CredentialsError(f"{where}: user name and password have at most {LONGEST} bytes each.")
        return cls(username, password)

    def match(self, username: bytes, password: bytes) -> bool:
        """Whether these are the credentials, in a time that tells nothing of where they differ."""
        # Both are compared in any case.
        return hmac.compare_digest(self.username, username) & hmac.compare_digest(self.password, password)

    def match_basic(self, value: bytes) -> bool:
        """Whether a ``Proxy-Authorization`` header has them (RFC 7617)."""
        scheme, _, token = value.strip().partition(b" ")
        if scheme.lower() != b"basic":
            return False
        try:
            username, _, password = base64.b64decode(token.strip(), validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return False
        return self.match(username, password)


class Found(NamedTuple):
    """Credentials that were found, and what is to be warned of."""

    credentials: Credentials | None
    warning: str | None = None


def find_credentials(path: Path | None, environment: Mapping[str, str]) -> Found:
    """Read the credentials from a file or, if none is named, from the environment."""
    if path is None:
        text = environment.get(ENVIRONMENT)
        return Found(None if text is None else Credentials.parse(os.fsencode(text), ENVIRONMENT))
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode)):
            raise CredentialsError(f"{path} is neither a file nor a pipe.")
        line = file.readline(_FILE_BYTES).rstrip(b"\r\n")
        exposed = is_exposed(file.fileno())
    warning = f"Warning: other users may read or write {path}; chmod 600 prevents it." if exposed else None
    return Found(Credentials.parse(line, str(path)), warning)
