"""The handshake: two messages, four Diffie-Hellman results, two keys (paper 5.4.2, 5.4.3 and 5.4.5).

Each side has a *static* key pair, which is its identity, and draws a fresh *ephemeral* key pair for each
handshake. The initiator knows the responder's static public key beforehand. Noise writes what happens as the
pattern IKpsk2:

    <- s                        known beforehand: the responder's static key
    -> e, es, s, ss             initiation, with a timestamp as payload
    <- e, ee, se, psk           response, with nothing as payload

where `es` stands for a Diffie-Hellman of the initiator's ephemeral with the responder's static key, and so
on. Two values grow on both sides from step to step:

    C   the chaining key   takes in every secret; the transport keys come out of it in the end
    H   the hash           takes in everything sent; each ciphertext is authenticated together with it

So the two sides agree on the last C only if they agree on every secret and every byte before it.

What the four results are good for: `es` hides the initiator's identity from all but the responder. `ss`
proves the initiator's identity in the very first message. `ee` is forgotten by both sides, so that keys
stolen later open nothing of today. `se` proves the initiator again, now freshly, and keeps somebody who stole
only the responder's static key from playing the initiator to it. The pre-shared key, mixed in last, holds
even if X25519 should fall.

How to read the code. Each line computes one equation of the paper, which stands beside it; i is the
initiator, r the responder. Both sides run the same equations: what one computes as DH(Epriv_i, Spub_r), the
other computes as DH(Spriv_r, Epub_i). Everything random or taken from a clock is an argument, so every
function here is pure:

    create_initiation  ->  Initiation  ->  open_initiation
         |                                      |
    AwaitingResponse                      OpenedInitiation      the responder now looks up who this is
         |                                      |
    open_response  <-      Response    <-  create_response
         |                                      |
      Session                                Session
"""

from dataclasses import dataclass, field

from .constants import CONSTRUCTION, IDENTIFIER, MAC_SIZE, NO_PRESHARED_KEY
from .cookies import verify_mac1, with_macs
from .errors import MisdirectedError
from .messages import Initiation, Response
from .primitives import aead, aead_open, dh, hash_, kdf1, kdf2, kdf3, public_key

_UNFINISHED = bytes(MAC_SIZE)  # mac1 and mac2, until with_macs fills them in

# What each side remembers between the messages --------------------------------------------------------------


@dataclass(frozen=True)
class AwaitingResponse:
    """The initiator, after its initiation."""

    static_private: bytes = field(repr=False)
    ephemeral_private: bytes = field(repr=False)
    local_index: int
    mac1: bytes
    """Of the initiation sent: the key to a cookie reply (paper 5.4.7)."""
    chaining_key: bytes = field(repr=False)
    hash: bytes = field(repr=False)


@dataclass(frozen=True)
class OpenedInitiation:
    """The responder, after a valid initiation. It has yet to decide whether it knows this peer at all.

    Two decisions are left to the caller, who knows the peers and their past: whether `initiator_public` is
    one of them, and whether `timestamp` is new (`timestamps.newest_timestamp`).
    """

    initiator_public: bytes
    timestamp: bytes
    initiator_ephemeral: bytes
    remote_index: int
    chaining_key: bytes = field(repr=False)
    hash: bytes = field(repr=False)


@dataclass(frozen=True)
class Session:
    """What a handshake leaves behind: a key for each direction (paper 5.4.5). All else is to be forgotten."""

    local_index: int
    """Put into `receiver` by the other side."""
    remote_index: int
    """Put into `receiver` by us."""
    sending_key: bytes = field(repr=False)
    receiving_key: bytes = field(repr=False)


# First message: initiator to responder (paper 5.4.2) --------------------------------------------------------


def create_initiation(
    *,
    static_private: bytes,
    responder_public: bytes,
    ephemeral_private: bytes,
    timestamp: bytes,
    sender: int,
    cookie: bytes | None = None,
) -> tuple[Initiation, AwaitingResponse]:
    """Begin a handshake with the owner of `responder_public`."""
    static_public = public_key(static_private)

    c = hash_(CONSTRUCTION)  # ................................. Ci := Hash(Construction)
    h = hash_(c + IDENTIFIER)  # ............................... Hi := Hash(Ci || Identifier)
    h = hash_(h + responder_public)  # ......................... Hi := Hash(Hi || Spub_r)

    ephemeral = public_key(ephemeral_private)  # ............... (Epriv_i, Epub_i) := DH-Generate()
    c = kdf1(c, ephemeral)  # .................................. Ci := Kdf1(Ci, Epub_i)
    h = hash_(h + ephemeral)  # ................................ Hi := Hash(Hi || msg.ephemeral)

    c, key = kdf2(c, dh(ephemeral_private, responder_public))  # (Ci, κ) := Kdf2(Ci, DH(Epriv_i, Spub_r))
    static = aead(key, 0, static_public, h)  # ................. msg.static := Aead(κ, 0, Spub_i, Hi)
    h = hash_(h + static)  # ................................... Hi := Hash(Hi || msg.static)

    c, key = kdf2(c, dh(static_private, responder_public))  # .. (Ci, κ) := Kdf2(Ci, DH(Spriv_i, Spub_r))
    sealed_timestamp = aead(key, 0, timestamp, h)  # ........... msg.timestamp := Aead(κ, 0, Timestamp(), Hi)
    h = hash_(h + sealed_timestamp)  # ......................... Hi := Hash(Hi || msg.timestamp)

    message = with_macs(
        Initiation(sender, ephemeral, static, sealed_timestamp, mac1=_UNFINISHED, mac2=_UNFINISHED),
        responder_public,
        cookie,
    )
    return message, AwaitingResponse(
        static_private=static_private,
        ephemeral_private=ephemeral_private,
        local_index=sender,
        mac1=message.mac1,
        chaining_key=c,
        hash=h,
    )


def open_initiation(message: Initiation, *, static_private: bytes) -> OpenedInitiation:
    """Learn who wants to talk to the owner of `static_private`, or raise the reason why not."""
    static_public = public_key(static_private)
    verify_mac1(message, static_public)

    c = hash_(CONSTRUCTION)  # ................................. Cr := Hash(Construction)
    h = hash_(c + IDENTIFIER)  # ............................... Hr := Hash(Cr || Identifier)
    h = hash_(h + static_public)  # ............................ Hr := Hash(Hr || Spub_r)

    c = kdf1(c, message.ephemeral)  # .......................... Cr := Kdf1(Cr, Epub_i)
    h = hash_(h + message.ephemeral)  # ........................ Hr := Hash(Hr || msg.ephemeral)

    c, key = kdf2(c, dh(static_private, message.ephemeral))  # . (Cr, κ) := Kdf2(Cr, DH(Spriv_r, Epub_i))
    # .......................................................... msg.static = Aead(κ, 0, Spub_i, Hr), undone:
    initiator_public = aead_open(key, 0, message.static, h, field="Initiation.static")
    h = hash_(h + message.static)  # ........................... Hr := Hash(Hr || msg.static)

    c, key = kdf2(c, dh(static_private, initiator_public))  # .. (Cr, κ) := Kdf2(Cr, DH(Spriv_r, Spub_i))
    # .......................................................... msg.timestamp = Aead(κ, 0, Timestamp(), Hr)
    timestamp = aead_open(key, 0, message.timestamp, h, field="Initiation.timestamp")
    h = hash_(h + message.timestamp)  # ........................ Hr := Hash(Hr || msg.timestamp)

    return OpenedInitiation(
        initiator_public=initiator_public,
        timestamp=timestamp,
        initiator_ephemeral=message.ephemeral,
        remote_index=message.sender,
        chaining_key=c,
        hash=h,
    )


# Second message: responder to initiator (paper 5.4.3) -------------------------------------------------------


def create_response(
    opened: OpenedInitiation,
    *,
    ephemeral_private: bytes,
    sender: int,
    preshared_key: bytes = NO_PRESHARED_KEY,
    cookie: bytes | None = None,
) -> tuple[Response, Session]:
    """Answer an initiation, once its sender turned out to be a peer; `preshared_key` is that peer's."""
    c, h = opened.chaining_key, opened.hash
    ephemeral_i, static_i = opened.initiator_ephemeral, opened.initiator_public

    ephemeral = public_key(ephemeral_private)  # ............... (Epriv_r, Epub_r) := DH-Generate()
    c = kdf1(c, ephemeral)  # .................................. Cr := Kdf1(Cr, Epub_r)
    h = hash_(h + ephemeral)  # ................................ Hr := Hash(Hr || msg.ephemeral)

    c = kdf1(c, dh(ephemeral_private, ephemeral_i))  # ......... Cr := Kdf1(Cr, DH(Epriv_r, Epub_i))
    c = kdf1(c, dh(ephemeral_private, static_i))  # ............ Cr := Kdf1(Cr, DH(Epriv_r, Spub_i))

    c, tau, key = kdf3(c, preshared_key)  # .................... (Cr, τ, κ) := Kdf3(Cr, Q)
    h = hash_(h + tau)  # ...................................... Hr := Hash(Hr || τ)
    empty = aead(key, 0, b"", h)  # ............................ msg.empty := Aead(κ, 0, ε, Hr)
    # .......................................................... Hr := Hash(Hr || msg.empty), never used again

    message = with_macs(
        Response(sender, opened.remote_index, ephemeral, empty, mac1=_UNFINISHED, mac2=_UNFINISHED),
        static_i,
        cookie,
    )
    initiator_sends, responder_sends = _transport_keys(c)
    return message, Session(
        local_index=sender,
        remote_index=opened.remote_index,
        sending_key=responder_sends,
        receiving_key=initiator_sends,
    )


def open_response(
    message: Response, awaiting: AwaitingResponse, *, preshared_key: bytes = NO_PRESHARED_KEY
) -> Session:
    """Complete the handshake that `awaiting` began, or raise the reason why not.

    After a refusal the initiator goes on waiting with the same state: anybody can send it nonsense.
    """
    if message.receiver != awaiting.local_index:
        raise MisdirectedError("Response.receiver", expected=awaiting.local_index, found=message.receiver)
    verify_mac1(message, public_key(awaiting.static_private))
    static_private, ephemeral_private = awaiting.static_private, awaiting.ephemeral_private
    c, h = awaiting.chaining_key, awaiting.hash

    c = kdf1(c, message.ephemeral)  # .......................... Ci := Kdf1(Ci, Epub_r)
    h = hash_(h + message.ephemeral)  # ........................ Hi := Hash(Hi || msg.ephemeral)

    c = kdf1(c, dh(ephemeral_private, message.ephemeral))  # .. Ci := Kdf1(Ci, DH(Epriv_i, Epub_r))
    c = kdf1(c, dh(static_private, message.ephemeral))  # ..... Ci := Kdf1(Ci, DH(Spriv_i, Epub_r))

    c, tau, key = kdf3(c, preshared_key)  # .................... (Ci, τ, κ) := Kdf3(Ci, Q)
    h = hash_(h + tau)  # ...................................... Hi := Hash(Hi || τ)
    # .......................................................... msg.empty = Aead(κ, 0, ε, Hi), undone:
    aead_open(key, 0, message.empty, h, field="Response.empty")

    initiator_sends, responder_sends = _transport_keys(c)
    return Session(
        local_index=awaiting.local_index,
        remote_index=message.sender,
        sending_key=initiator_sends,
        receiving_key=responder_sends,
    )


# Transport keys (paper 5.4.5) -------------------------------------------------------------------------------


def _transport_keys(c: bytes) -> tuple[bytes, bytes]:
    return kdf2(c, b"")  # (Tsend_i = Trecv_r, Trecv_i = Tsend_r) := Kdf2(C, ε)
