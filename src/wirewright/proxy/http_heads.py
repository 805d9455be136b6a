"""Heads of HTTP messages as a proxy must change them (RFC 9110 section 7.6, RFC 9112 section 3.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wirewright.tunnel.arguments import literal

if TYPE_CHECKING:
    import h11
    from h11._headers import Headers  # h11 has no other name for the type of its events' headers

PSEUDONYM = b"wirewright"
# About one connection, not about the message; and what is between the client and us.
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
    }
)
# `Connection: content-length` would let us remove what tells where the message ends.
_NEVER_NOMINATED = frozenset({b"content-length", b"transfer-encoding", b"host"})
_ABSOLUTE = re.compile(rb"(?i:http)://([^/?#]*)([^#]*)")
_AUTHORITY = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::([0-9]{1,5}))?")


class HeadError(ValueError):
    """A head that is answered with ``status``."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: the origin, the ``Host`` header and what is asked of it."""

    host: str
    port: int
    authority: bytes
    path: bytes


def connect_target(request: h11.Request) -> Target:
    """Read the target of CONNECT, "host:port"."""
    host, port = _authority(request.target)
    if port is None:
        raise HeadError("CONNECT needs HOST:PORT.")
    # RFC 9110 section 9.3.6: it has no content, and what follows is the tunnel's.
    lengths = {value for name, value in request.headers if name == b"content-length"}
    if lengths - {b"0"} or header(request.headers, b"transfer-encoding"):
        raise HeadError("CONNECT has no content.")
    return Target(host, port, request.target, b"")


def absolute_target(method: bytes, target: bytes) -> Target:
    """Read the target of any other request, "http://host[:port]/path"."""
    if target.lower().startswith(b"https:"):
        raise HeadError("This proxy reaches https by CONNECT only.")
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise HeadError("This is a proxy: ask for http://HOST/PATH, or use CONNECT.")
    host, port = _authority(found[1])
    path = found[2]
    if not path and method == b"OPTIONS":
        path = b"*"
    elif not path.startswith(b"/"):
        path = b"/" + path
    return Target(host, 80 if port is None else port, found[1], path)


def request_headers(headers: Headers, authority: bytes, version: bytes) -> list[tuple[bytes, bytes]]:
    """Return what goes to the origin of what the client sent."""
    names = {name for name, _ in headers}
    if b"content-length" in names and b"transfer-encoding" in names:
        raise HeadError("A request has Content-Length or Transfer-Encoding, not both.")
    return [(b"Host", authority), *_forwarded(headers, b"host"), (b"Via", version + b" " + PSEUDONYM)]


def response_headers(headers: Headers, version: bytes) -> list[tuple[bytes, bytes]]:
    """Return what goes to the client of what the origin sent."""
    framed = header(headers, b"transfer-encoding")
    kept = _forwarded(headers, *([b"content-length"] if framed else []))
    return [*kept, (b"Via", version + b" " + PSEUDONYM)]


def header(headers: Headers, wanted: bytes) -> bytes:
    """Return the value of a header, of the first if there are several; empty if there is none."""
    return next((value for name, value in headers if name == wanted), b"")


def _forwarded(headers: Headers, *without: bytes) -> list[tuple[bytes, bytes]]:
    nominated = {
        token.strip().lower()
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    }
    if nominated & _NEVER_NOMINATED:
        raise HeadError("Connection names a header that is not about the connection.")
    dropped = _HOP_BY_HOP | nominated | set(without)
    # As they were written: names in another case confuse some.
    return [(name, value) for name, value in headers.raw_items() if name.lower() not in dropped]


def _authority(text: bytes) -> tuple[str, int | None]:
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        raise HeadError("The target names no host that can be.")
    host = found[1].decode("ascii")
    if host.startswith("["):
        host = host[1:-1]
        if literal(host) is None:
            raise HeadError("The target names no host that can be.")
    port = None if found[2] is None else int(found[2])
    if port is not None and not 0 < port < 65536:
        raise HeadError("The target names no port that can be.")
    return host, port
