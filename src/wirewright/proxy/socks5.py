"""The server's side of SOCKS 5 (RFC 1928, RFC 1929), without I/O.

    greeting --offers our method--> [user name and password --right-->] request --> asked
    any state --cannot be, is not offered, is wrong--> failed

`feed` takes what the client sent, in pieces of any size, and returns what to answer. In state ``asked`` there
is a `Request`, to be answered by `reply`, and ``rest`` is what the client sent behind it without waiting.
In state ``failed`` the connection is to be closed after the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from wirewright.proxy.credentials import Credentials

VERSION = 5
AUTHENTICATION_VERSION = 1
# What a client may send that is no request yet: the longest request (RFC 1928 section 4) has 262 bytes, and
# what came behind it in the same piece is bounded by the piece.
NO_AUTHENTICATION, USERNAME_PASSWORD, NOTHING_ACCEPTABLE = 0x00, 0x02, 0xFF


class Command(IntEnum):
    """RFC 1928 section 4."""

    CONNECT = 1
    BIND = 2
    UDP_ASSOCIATE = 3


class Reply(IntEnum):
    """RFC 1928 section 6."""

    SUCCEEDED = 0
    GENERAL_FAILURE = 1
    NOT_ALLOWED = 2
    NETWORK_UNREACHABLE = 3
    HOST_UNREACHABLE = 4
    CONNECTION_REFUSED = 5
    TTL_EXPIRED = 6
    COMMAND_NOT_SUPPORTED = 7
    ADDRESS_TYPE_NOT_SUPPORTED = 8


class AddressType(IntEnum):
    """RFC 1928 section 5."""

    IPV4 = 1
    NAME = 3
    IPV6 = 4


class Failure(Enum):
    """Why a negotiation failed."""

    PROTOCOL = "what came is not SOCKS 5"
    METHOD = "no method of authentication that the client offers is ours"
    CREDENTIALS = "wrong user name or password"
    COMMAND = "a command that is not supported"
    ADDRESS = "an address that cannot be"


class BadAddressError(ValueError):
    """An address that cannot be; ``reply`` says so to the client."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.name)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Request:
    """What the client asks for; ``host`` is an IP address or a name."""

    command: Command
    host: str
    port: int


class Negotiation:
    """One client's way to its request."""

    def __init__(self, credentials: Credentials | None) -> None:
        """Ask for these credentials, or for none."""
        self.request: Request | None = None
        self.failure: Failure | None = None
        self.rest = b""
        self._credentials = credentials
        self._buffer = bytearray()
        self._answers = bytearray()
        self._steps = self._negotiate()
        self._wanted = next(self._steps)

    @property
    def over(self) -> bool:
        """Whether there is a request or a failure."""
        return self.request is not None or self.failure is not None

    def feed(self, data: bytes) -> bytes:
        """Take what the client sent; return what to answer."""
        if self.over:
            raise RuntimeError("the negotiation is over")
        self._buffer += data
        while not self.over and len(self._buffer) >= self._wanted:
            taken = bytes(self._buffer[: self._wanted])
            del self._buffer[: self._wanted]
            try:
                self._wanted = self._steps.send(taken)
            except StopIteration:
                break
        if self.over:
            self.rest = bytes(self._buffer)
            self._buffer.clear()
        answers = bytes(self._answers)
        self._answers.clear()
        return answers

    def _negotiate(self) -> Generator[int, bytes, None]:
        """Yield how many bytes are wanted next, get them."""
        version, count = yield 2
        if version != VERSION:
            self.failure = Failure.PROTOCOL
            return
        methods = (yield count) if count else b""
        wanted = NO_AUTHENTICATION if self._credentials is None else USERNAME_PASSWORD
        if wanted not in methods:
            self._answers += bytes((VERSION, NOTHING_ACCEPTABLE))
            self.failure = Failure.METHOD
            return
        self._answers += bytes((VERSION, wanted))
        if self._credentials is not None:
            yield from self._authenticate(self._credentials)
            if self.failure is not None:
                return
        yield from self._ask()

    def _authenticate(self, credentials: Credentials) -> Generator[int, bytes, None]:
        version, length = yield 2
        if version != AUTHENTICATION_VERSION:
            self.failure = Failure.PROTOCOL
            return
        username = (yield length) if length else b""
        (length,) = yield 1
        password = (yield length) if length else b""
        right = credentials.match(username, password)
        self._answers += bytes((AUTHENTICATION_VERSION, 0 if right else 1))
        if not right:
            self.failure = Failure.CREDENTIALS

    def _ask(self) -> Generator[int, bytes, None]:
        version, number, _, kind = yield 4
        if version != VERSION:
            self.failure = Failure.PROTOCOL
            return
        length = _LENGTHS.get(kind)
        if kind == AddressType.NAME:
            (length,) = yield 1
        try:
            if not length:
                raise BadAddressError(Reply.ADDRESS_TYPE_NOT_SUPPORTED)
            address = yield length + 2
            host, port = _host(kind, address[:-2]), int.from_bytes(address[-2:])
            if number == Command.CONNECT and port == 0:
                raise BadAddressError(Reply.GENERAL_FAILURE)
        except BadAddressError as error:
            self._answers += reply(error.reply)
            self.failure = Failure.ADDRESS
            return
        if number not in {Command.CONNECT, Command.UDP_ASSOCIATE}:
            self._answers += reply(Reply.COMMAND_NOT_SUPPORTED)
            self.failure = Failure.COMMAND
            return
        self.request = Request(Command(number), host, port)


def reply(code: Reply, host: str = "0.0.0.0", port: int = 0) -> bytes:  # noqa: S104 (no address)
    """Answer a request; after anything but success the connection is to be closed."""
    return bytes((VERSION, code, 0)) + encode_address(host, port)


_LENGTHS = {int(AddressType.IPV4): 4, int(AddressType.IPV6): 16}


def encode_address(host: str, port: int) -> bytes:
    """Write an IP address and a port."""
    address = ip_address(host)
    kind = AddressType.IPV4 if address.version == 4 else AddressType.IPV6
    return bytes((kind,)) + address.packed + port.to_bytes(2)


def decode_address(data: bytes, start: int) -> tuple[str, int, int]:
    """Read a host and a port at ``start``; the third number is where what follows begins."""
    kind = data[start] if start < len(data) else 0
    start += 1
    length = _LENGTHS.get(kind)
    if kind == AddressType.NAME and start < len(data):
        length = data[start]
        start += 1
    if not length:
        raise BadAddressError(Reply.ADDRESS_TYPE_NOT_SUPPORTED)
    end = start + length
    if end + 2 > len(data):
        raise BadAddressError(Reply.GENERAL_FAILURE)
    return _host(kind, data[start:end]), int.from_bytes(data[end : end + 2]), end + 2


def _host(kind: int, data: bytes) -> str:
    if kind == AddressType.IPV4:
        return str(IPv4Address(data))
    if kind == AddressType.IPV6:
        return str(IPv6Address(data))
    # Names travel as in DNS: letters, digits and the like. The resolver knows the rest of the rules.
    if not data.isascii() or not all(0x21 <= byte <= 0x7E for byte in data):
        raise BadAddressError(Reply.GENERAL_FAILURE)
    return data.decode("ascii")
