"""Who may cost us work: mac1, mac2 and the cookie reply (paper 5.3, 5.4.4 and 5.4.7).

A handshake message asks its receiver for expensive public-key work, so it has to earn that, in two steps.

**mac1** proves that the sender knows the receiver's public key. It is always required. Whoever scans the
internet without that key hears nothing at all.

**mac2** proves that the sender receives what is sent to the address it claims to have. It is required only
under load. A receiver under load answers a message with a *cookie* instead of a response. The cookie is a MAC
over the sender's address, keyed by a secret that changes every two minutes, so the receiver need not remember
whom it gave one to. The sender keeps it, and proves in mac2 of its next messages that it has it.

The reply is sealed with a key made from the replier's public key, and with the mac1 of the message it replies
to as associated data. So only somebody who knows the public key can read it, and nobody who has not seen that
very message can forge it.

             initiator                                        responder, under load
                 |   initiation, mac1 right, mac2 zero                 |
                 | --------------------------------------------------> |
                 |           cookie reply: sealed Mac(R, address)      |
                 | <-------------------------------------------------- |   no public-key work yet,
        later:   |   new initiation, mac1 right, mac2 right            |   nothing remembered
                 | --------------------------------------------------> |
                 |                     response                        |
                 | <-------------------------------------------------- |
"""

from dataclasses import dataclass, field, replace
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

from .constants import COOKIE_LIFETIME, HASH_SIZE, LABEL_COOKIE, LABEL_MAC1, MAC_SIZE, NO_MAC2
from .errors import AuthenticationError
from .messages import CookieReply, HandshakeMessage, Initiation, Response
from .primitives import hash_, mac, verify, xaead, xaead_open

Handshake = TypeVar("Handshake", Initiation, Response)

# The two MACs (paper 5.4.4) ---------------------------------------------------------------------------------


def mac1(message: HandshakeMessage, receiver_public: bytes) -> bytes:
    """Mac(Hash(Label-Mac1 || Spub), msg-alpha): the receiver's public key, and all that comes before mac1."""
    return mac(hash_(LABEL_MAC1 + receiver_public), message.encode_before("mac1"))


def mac2(message: HandshakeMessage, cookie: bytes | None) -> bytes:
    """Mac(cookie, msg-beta): all that comes before mac2, so mac1 too. Without a cookie it is zero."""
    return NO_MAC2 if cookie is None else mac(cookie, message.encode_before("mac2"))


def with_macs(message: Handshake, receiver_public: bytes, cookie: bytes | None) -> Handshake:
    """Finish a handshake message: mac1 first, because mac2 covers it."""
    message = replace(message, mac1=mac1(message, receiver_public))
    return replace(message, mac2=mac2(message, cookie))


def verify_mac1(message: HandshakeMessage, own_public: bytes) -> None:
    """Raise AuthenticationError unless the sender knew our public key."""
    verify(mac1(message, own_public), message.mac1, field=f"{type(message).__name__}.mac1")


def verify_mac2(message: HandshakeMessage, cookie: bytes) -> None:
    """Raise AuthenticationError unless the sender had this cookie."""
    verify(mac2(message, cookie), message.mac2, field=f"{type(message).__name__}.mac2")


# Cookies (paper 5.4.7) --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CookieSecret:
    """R in the paper: 32 random bytes, replaced when two minutes old. Times are seconds of a steady clock."""

    value: bytes = field(repr=False)
    created_at: float

    def __post_init__(self) -> None:
        if len(self.value) != HASH_SIZE:
            msg = f"CookieSecret.value has {len(self.value)} bytes instead of {HASH_SIZE}"
            raise ValueError(msg)

    def is_current(self, now: float) -> bool:
        """Tell whether the secret may still be used, or has to be drawn anew."""
        return now - self.created_at < COOKIE_LIFETIME

    def cookie_for(self, address: IPv4Address | IPv6Address, port: int) -> bytes:
        """τ := Mac(R, A), where A is the address and then the port, both in network byte order."""
        return mac(self.value, address.packed + port.to_bytes(2, "big"))


@dataclass(frozen=True)
class ReceivedCookie:
    """L in the paper: the newest cookie that a peer gave us, and when."""

    value: bytes = field(repr=False)
    received_at: float

    def __post_init__(self) -> None:
        if len(self.value) != MAC_SIZE:
            msg = f"ReceivedCookie.value has {len(self.value)} bytes instead of {MAC_SIZE}"
            raise ValueError(msg)

    def usable(self, now: float) -> bytes | None:
        """Give the cookie to make mac2 with, or None when it is two minutes old: its secret is gone then."""
        return self.value if now - self.received_at < COOKIE_LIFETIME else None


def create_cookie_reply(
    message: HandshakeMessage, *, own_public: bytes, cookie: bytes, nonce: bytes
) -> CookieReply:
    """Answer a handshake message with a cookie; `nonce` is 24 random bytes."""
    return CookieReply(
        receiver=message.sender,
        nonce=nonce,
        cookie=xaead(_seal_key(own_public), nonce, cookie, message.mac1),
    )


def open_cookie_reply(reply: CookieReply, *, peer_public: bytes, mac1_sent: bytes) -> bytes:
    """Take the cookie out of a reply to our message that had `mac1_sent`.

    It is only kept: the next message goes out when it would have anyway, or replies could make us send.
    """
    return xaead_open(
        _seal_key(peer_public), reply.nonce, reply.cookie, mac1_sent, field="CookieReply.cookie"
    )


def _seal_key(replier_public: bytes) -> bytes:
    return hash_(LABEL_COOKIE + replier_public)


# What to do with a handshake message (paper 5.3) ------------------------------------------------------------


class Admission(Enum):
    """What a receiver does with a handshake message before any public-key work."""

    DROP = "say nothing"
    CHALLENGE = "answer with a cookie reply"
    PROCESS = "go on with the handshake"


def admit(message: HandshakeMessage, *, own_public: bytes, cookie: bytes, under_load: bool) -> Admission:
    """Judge a handshake message; `cookie` is what our secret gives for the address the message came from."""
    try:
        verify_mac1(message, own_public)
    except AuthenticationError:
        return Admission.DROP
    if not under_load:
        return Admission.PROCESS
    try:
        verify_mac2(message, cookie)
    except AuthenticationError:
        return Admission.CHALLENGE
    return Admission.PROCESS
