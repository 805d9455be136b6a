"""The four messages of WireGuard, byte for byte (paper 5.4.2, 5.4.3, 5.4.6 and 5.4.7).

    handshake initiation, 148 bytes              handshake response, 92 bytes
    +------+--------------+--------------+       +------+--------------+--------------+
    | type | reserved     | sender       |       | type | reserved     | sender       |
    |  1   | 0  0  0      | 4 bytes      |       |  2   | 0  0  0      | 4 bytes      |
    +------+--------------+--------------+       +------+--------------+--------------+
    | ephemeral                 32 bytes |       | receiver                   4 bytes |
    +------------------------------------+       +------------------------------------+
    | static        32 bytes + 16 of tag |       | ephemeral                 32 bytes |
    +------------------------------------+       +------------------------------------+
    | timestamp     12 bytes + 16 of tag |       | empty          0 bytes + 16 of tag |
    +------------------------------------+       +------------------------------------+
    | mac1                      16 bytes |       | mac1                      16 bytes |
    +------------------------------------+       +------------------------------------+
    | mac2                      16 bytes |       | mac2                      16 bytes |
    +------------------------------------+       +------------------------------------+

    cookie reply, 64 bytes                       transport data, 32 bytes and more
    +------+--------------+--------------+       +------+--------------+--------------+
    | type | reserved     | receiver     |       | type | reserved     | receiver     |
    |  3   | 0  0  0      | 4 bytes      |       |  4   | 0  0  0      | 4 bytes      |
    +------+--------------+--------------+       +------+--------------+--------------+
    | nonce                     24 bytes |       | counter                    8 bytes |
    +------------------------------------+       +------------------------------------+
    | cookie        16 bytes + 16 of tag |       | packet         n bytes + 16 of tag |
    +------------------------------------+       +------------------------------------+

Numbers are little-endian. `sender` is the index by which the sender wants to be addressed from now on,
`receiver` is the index that the other side asked for. Ciphertexts are kept here as they are on the wire, with
their tags; opening them is the business of `handshake`, `cookies` and `transport`.
"""

from dataclasses import dataclass
from typing import ClassVar

from .constants import TYPE_COOKIE_REPLY, TYPE_DATA, TYPE_INITIATION, TYPE_RESPONSE
from .errors import MalformedMessageError
from .layout import U32, U64, Bytes16, Bytes24, Bytes28, Bytes32, Bytes48, Message, Rest16


@dataclass(frozen=True)
class Initiation(Message):
    """The first message, initiator to responder (paper 5.4.2)."""

    TYPE: ClassVar[int] = TYPE_INITIATION

    sender: U32
    ephemeral: Bytes32
    static: Bytes48
    timestamp: Bytes28
    mac1: Bytes16
    mac2: Bytes16


@dataclass(frozen=True)
class Response(Message):
    """The second message, responder to initiator (paper 5.4.3)."""

    TYPE: ClassVar[int] = TYPE_RESPONSE

    sender: U32
    receiver: U32
    ephemeral: Bytes32
    empty: Bytes16
    mac1: Bytes16
    mac2: Bytes16


@dataclass(frozen=True)
class CookieReply(Message):
    """What a server under load sends instead of doing the work a handshake message asks for (paper 5.4.7)."""

    TYPE: ClassVar[int] = TYPE_COOKIE_REPLY

    receiver: U32
    nonce: Bytes24
    cookie: Bytes32


@dataclass(frozen=True)
class Data(Message):
    """One sealed inner packet, or a keepalive if there is nothing inside (paper 5.4.6).

    Senders pad to a multiple of 16 bytes, but nothing asks receivers to insist on that, so decoding does not.
    """

    TYPE: ClassVar[int] = TYPE_DATA

    receiver: U32
    counter: U64
    packet: Rest16


HandshakeMessage = Initiation | Response
"""The two messages that cost the receiver public-key work, and therefore carry mac1 and mac2."""

AnyMessage = Initiation | Response | CookieReply | Data


def decode(datagram: bytes) -> AnyMessage:
    """Read any of the four messages; its first byte says which."""
    if not datagram:
        raise MalformedMessageError("type", "the datagram is empty")
    match datagram[0]:
        case Initiation.TYPE:
            return Initiation.decode(datagram)
        case Response.TYPE:
            return Response.decode(datagram)
        case CookieReply.TYPE:
            return CookieReply.decode(datagram)
        case Data.TYPE:
            return Data.decode(datagram)
        case other:
            raise MalformedMessageError("type", f"is {other}, but messages have type 1, 2, 3 or 4")
