"""What clients ask, in both dialects.

wg-dynamic exists in two dialects: that of the *document* (``ip-request.md``, 2019), whose keys are ``ipv4``
and ``ipv6``, and that of the *program* (the C code), whose key is ``ip``. Their bare requests contradict
each other: in the document what is left out means "any address", in the program "none, release it". A
request is in the program's dialect if it has ``ip`` and none of the other keys, so a bare one is in the
document's.

A client of ours writes both ways in one message, which either server understands, since both ignore what
they do not know. It names its extensions, by which a server of ours knows it (docs/dynamic.md).
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_interface
from typing import TYPE_CHECKING, Final, TypeAlias

from wirewright.dynamic.lines import ProtocolError, error_text
from wirewright.keys import PublicKey

if TYPE_CHECKING:
    from wirewright.config.values import IPAddress
    from wirewright.dynamic.lines import Message

REQUEST_IP: Final = "request_ip"
REGISTER_KEY: Final = "register_key"
ROUTES: Final = "routes"
EXTENSIONS: Final = frozenset({ROUTES, REGISTER_KEY})
"""Those that are ours: see docs/dynamic.md."""
MAX_EXTENSIONS: Final = 16

_NUMBER: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
_WORD: Final = re.compile(r"[a-z0-9_]{1,32}", re.ASCII)
_ADDRESS: Final = re.compile(r"[0-9a-fA-F.:]{2,45}(/[0-9]{1,3})?", re.ASCII)
_U32_MAX: Final = 0xFFFF_FFFF


class Dialect(Enum):
    """Which of the two a message is in."""

    DOCUMENT = "document"
    PROGRAM = "program"


class Code(Enum):
    """The numbers of ``errno``. The document knows only 0 and 1."""

    SUCCESS = 0
    INVALID = 1
    UNSUPPORTED = 2
    UNAVAILABLE = 3


class Wish(Enum):
    """What a client wants of a family, if not one address."""

    ANY = "any"
    OTHER = "any but the one it has"
    NONE = "none"


Wanted: TypeAlias = IPv4Address | IPv6Address | Wish


class RequestError(ProtocolError):
    """A request that is refused, with what to answer."""

    def __init__(self, text: str, code: Code = Code.INVALID, dialect: Dialect = Dialect.PROGRAM) -> None:
        super().__init__(text)
        self.code = code
        self.dialect = dialect


@dataclass(frozen=True, slots=True)
class RequestIp:
    """A request for addresses."""

    dialect: Dialect = Dialect.DOCUMENT
    ipv4: Wanted = Wish.ANY
    ipv6: Wanted = Wish.ANY
    extensions: frozenset[str] | None = None
    """Those the client knows; None of a client that knows of none."""


@dataclass(frozen=True, slots=True)
class RegisterKey:
    """A request to take another key for this client."""

    key: PublicKey


Request: TypeAlias = RequestIp | RegisterKey


def parse_request(message: Message) -> Request:
    """Read a request. Raises RequestError."""
    (command, version), *attributes = message
    if command not in {REQUEST_IP, REGISTER_KEY} or _number(command, version, Dialect.PROGRAM) != 1:
        raise RequestError("Unsupported protocol", Code.UNSUPPORTED)
    if any(key in {REQUEST_IP, REGISTER_KEY} for key, _ in attributes):
        raise RequestError("a second command in a message")
    return _register_key(attributes) if command == REGISTER_KEY else _request_ip(attributes)


def request(ipv4: Wanted, ipv6: Wanted, extensions: frozenset[str] = EXTENSIONS) -> Message:
    """Write a request that servers of both dialects understand alike."""
    lines = [(REQUEST_IP, "1")]
    for key, wanted, unspecified, length in (
        ("ipv4", ipv4, "0.0.0.0", 32),  # noqa: S104 - stands for "any address"
        ("ipv6", ipv6, "::", 128),
    ):
        if wanted is Wish.NONE:
            lines.append((key, ""))
        elif isinstance(wanted, Wish):
            lines.append(("ip", f"{unspecified}/{length}"))
        else:
            lines += [(key, f"{wanted}/{length}"), ("ip", f"{wanted}/{length}")]
    return (*lines, ("extensions", ",".join(sorted(extensions))))


def registration(key: PublicKey) -> Message:
    """Write a request to take another key."""
    return ((REGISTER_KEY, "1"), ("key", str(key)))


def refusal(error: RequestError) -> Message:
    """Write the answer to a request that is refused."""
    lines = (("errmsg", error_text(str(error))),)
    if error.dialect is Dialect.DOCUMENT:
        return ((REQUEST_IP, "1"), ("errno", "1"), *lines)
    return (("errno", str(error.code.value)), *lines)


def number(key: str, text: str) -> int:
    """Read a decimal number of 32 bits. Raises ProtocolError."""
    if not _NUMBER.fullmatch(text) or int(text) > _U32_MAX:
        raise ProtocolError(f"{key}: not a decimal number of 32 bits")
    return int(text)


def address(key: str, text: str) -> tuple[IPAddress, int]:
    """Read an address with or without a prefix length. Raises ProtocolError."""
    try:
        if not _ADDRESS.fullmatch(text):
            raise ValueError
        found = ip_interface(text)
    except ValueError:
        raise ProtocolError(f"{key}: not an IP address") from None
    return found.ip, found.network.prefixlen


def extensions(text: str) -> frozenset[str]:
    """Read a list of extensions; words that cannot be one are left out, since they may be later ones."""
    words = text.split(",")[:MAX_EXTENSIONS]
    return frozenset(word for word in words if _WORD.fullmatch(word))


def _number(key: str, text: str, dialect: Dialect) -> int:
    try:
        return number(key, text)
    except ProtocolError as error:
        raise RequestError(str(error), dialect=dialect) from None


def _request_ip(attributes: list[tuple[str, str]]) -> RequestIp:
    names = {key for key, _ in attributes}
    is_program = "ip" in names and not names & {"ipv4", "ipv6", "extensions"}
    dialect = Dialect.PROGRAM if is_program else Dialect.DOCUMENT
    wanted: dict[int, Wanted] = {}
    named: frozenset[str] | None = None
    for key, value in attributes:
        if key == "extensions":
            named = extensions(value)
        elif key in {"leasestart", "leasetime"}:
            _number(key, value, dialect)
        elif key == "ip" and is_program:
            _note(wanted, None, *_read(key, value, Wish.OTHER, dialect))
        elif key in {"ipv4", "ipv6"}:
            version = int(key[-1])
            read = (version, Wish.NONE) if not value else _read(key, value, Wish.ANY, dialect)
            _note(wanted, version, *read)
    absent = Wish.NONE if is_program else Wish.ANY
    return RequestIp(dialect, wanted.get(4, absent), wanted.get(6, absent), named)


def _read(key: str, text: str, unspecified: Wish, dialect: Dialect) -> tuple[int, Wanted]:
    try:
        found, _ = address(key, text)
    except ProtocolError as error:
        raise RequestError(str(error), dialect=dialect) from None
    return found.version, unspecified if found.is_unspecified else found


def _note(wanted: dict[int, Wanted], expected: int | None, version: int, what: Wanted) -> None:
    dialect = Dialect.PROGRAM if expected is None else Dialect.DOCUMENT
    if expected not in {None, version}:
        raise RequestError(f"ipv{expected}: an address of the other family", dialect=dialect)
    if version in wanted:
        raise RequestError(f"two wishes for IPv{version}", dialect=dialect)
    wanted[version] = what


def _register_key(attributes: list[tuple[str, str]]) -> RegisterKey:
    found = [value for key, value in attributes if key == "key"]
    if len(found) != 1:
        raise RequestError("register_key: there must be one key")
    return RegisterKey(public_key(found[0]))


def public_key(text: str) -> PublicKey:
    """Read a public key in base64, padded or as in upstream's draft not. Raises RequestError."""
    try:
        if not re.fullmatch(r"[A-Za-z0-9+/]{43}=?", text, re.ASCII):
            raise ValueError
        b64decode(text[:43] + "=", validate=True)
        return PublicKey.from_base64(text[:43] + "=")
    except (ValueError, binascii.Error):
        raise RequestError("key: not a public key in base64") from None
