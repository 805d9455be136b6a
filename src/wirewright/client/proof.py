"""Proof that a device has the private key of the public key it enrols.

Both sides do X25519 with their own private key and the other's public one. From the secret HKDF-SHA256 (RFC
5869, no salt, info ``wirewright enrolment v1``) derives 32 bytes, the key of an HMAC-SHA256 over what the
enrolment is about. That is written as JSON in UTF-8 with sorted keys and no blanks, so that a browser
writes the same bytes. Only who has one of the two private keys can compute it; it tells nothing that could
be used for another enrolment.
"""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

if TYPE_CHECKING:
    from wirewright.keys import PublicKey, SecretKey

INFO: Final = b"wirewright enrolment v1"


class ProofError(ValueError):
    """No proof can be made with these keys."""


def message(invitation: str, client: PublicKey, coordinator: PublicKey, name: str) -> bytes:
    """Return what is proved: the public part of the invitation, both public keys, the device's name."""
    value = {
        "client_public_key": str(client),
        "coordinator_public_key": str(coordinator),
        "invitation": invitation,
        "name": name,
    }
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def prove(own: SecretKey, other: PublicKey, said: bytes) -> bytes:
    """Return the proof, 32 bytes; raise `ProofError` if ``other`` is a point of low order."""
    # cryptography takes bytes, which cannot be wiped; the handle's own copy can.
    raw = bytearray(32)
    try:
        own.copy_into(raw)
        private = X25519PrivateKey.from_private_bytes(bytes(raw))
    finally:
        raw[:] = bytes(32)
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(bytes(other)))
    except ValueError:
        raise ProofError("There is no shared secret with a point of low order.") from None
    key = HKDF(SHA256(), 32, salt=None, info=INFO).derive(shared)
    return hmac.digest(key, said, "sha256")


def proved(own: SecretKey, other: PublicKey, said: bytes, proof: bytes) -> bool:
    """Say whether ``proof`` is the other's, in constant time."""
    try:
        expected = prove(own, other, said)
    except ProofError:
        return False
    return hmac.compare_digest(expected, proof)
