"""Where a coordinator is, and by what it is asked.

Tokens are read from files, never from arguments, which every user of the machine can read. They are sent by
TLS, or within this machine, and to no other place than they are for: the administrator's token that a
coordinator left in its state directory goes to that coordinator only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from wirewright.client.errors import AccessError
from wirewright.client.places import TOKEN, Record, state_directory
from wirewright.client.secret_files import read_secret

URL: Final = "http://127.0.0.1:8080"
"""Where a coordinator listens that was told nothing else."""
_TOKEN = re.compile(r"wwt_[a-z2-7]{16}_[a-z2-7]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Access:
    """The root of an API, and the token that it is asked with; none for what needs none."""

    url: str
    token: str | None = field(default=None, repr=False)
    certificates: Path | None = None
    """A file with the certificates that are trusted; ``None`` for those of the system."""
    public_url: str | None = None
    """Where others find it, if it is known."""

    @classmethod
    def find(
        cls,
        url: str | None,
        token_file: Path | None,
        certificates: Path | None,
        state: Path | None,
        environment: Mapping[str, str],
    ) -> Access:
        """Find out from what was said, the environment, and what a coordinator left, or raise AccessError."""
        directory = state or Path(environment.get("WIREWRIGHT_STATE") or state_directory())
        record = Record.read(directory)
        there = record.url if record else URL
        named = url or environment.get("WIREWRIGHT_URL") or there
        path = token_file or _path(environment.get("WIREWRIGHT_TOKEN_FILE"))
        root = checked_url(named)
        if path is None:
            if root != there.rstrip("/"):
                raise AccessError(
                    f"By what is {root} asked? Name the file of a token: --token-file, or "
                    "WIREWRIGHT_TOKEN_FILE in the environment."
                )
            path = directory / TOKEN
        public = record.public_url if record and root == record.url else None
        return cls(root, _token(path, token_file), certificates, public)


def checked_url(text: str) -> str:
    """Return the root of an API without a slash at its end; raise AccessError for one that is none."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise AccessError(f"{text[:200]} is no URL.") from None
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        raise AccessError(f"{text[:200]} is no URL of a coordinator, such as https://vpn.example.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise AccessError("The URL of a coordinator has no user, no password, no query and no fragment.")
    if parts.scheme == "http" and not is_loopback(host):
        raise AccessError(
            f"{parts.scheme}://{parts.netloc} is another machine, and a secret would cross the network in "
            "the clear: use https."
        )
    return text.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _token(path: Path, named: Path | None) -> str:
    try:
        token = read_secret(path, "a token")
    except (FileNotFoundError, PermissionError) as error:
        if named is not None:
            raise
        raise AccessError(
            f"{path}: {error.strerror}. Does a coordinator run here, and is it yours? If it is elsewhere, "
            "name it with --url, and the file of your token with --token-file."
        ) from None
    if not _TOKEN.fullmatch(token):
        raise AccessError(f"{path} holds no token: one begins with wwt_.")
    return token
