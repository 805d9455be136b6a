"""The functions of paper section 5.4, from which all of the protocol is composed.

    paper               here                what it is
    ------------------  ------------------  ----------------------------------------------------
    DH(priv, pub)       dh                  X25519 (RFC 7748)
    Aead(k, n, p, a)    aead, aead_open     ChaCha20-Poly1305 (RFC 8439), 64-bit counter as nonce
    Xaead(k, n, p, a)   xaead, xaead_open   XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha), 24-byte nonce
    Hash(x)             hash_               BLAKE2s, 32 bytes (RFC 7693)
    Mac(k, x)           mac                 keyed BLAKE2s, 16 bytes
    Hmac(k, x)          hmac                HMAC over BLAKE2s (RFC 2104), 32 bytes
    Kdf1..3(k, x)       kdf1, kdf2, kdf3    HKDF (RFC 5869) over Hmac: 1, 2 or 3 outputs of 32 bytes

The paper's a || b is Python's a + b. Nothing here is our own cryptography: each primitive is somebody else's
library, which is what makes this package an oracle.

Two traps are worth naming. Mac and Hmac are different functions: BLAKE2s has a key parameter of its own,
which Mac uses, while the key derivation goes the old way round through HMAC. And the AEAD nonce is 4 zero
bytes followed by the counter in *little*-endian order, while timestamps are big-endian.
"""

import hashlib
from hmac import compare_digest
from hmac import digest as hmac_digest

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from .constants import HASH_SIZE, KEY_SIZE, MAC_SIZE
from .errors import AuthenticationError, LowOrderPointError

# Diffie-Hellman ---------------------------------------------------------------------------------------------


def public_key(private: bytes) -> bytes:
    """Give the public half of a private key: 32 bytes to 32 bytes, as in the paper's DH-Generate."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def dh(private: bytes, public: bytes) -> bytes:
    """DH(private, public): the 32-byte secret that both sides compute, each from its own private key.

    A point of low order is multiplied to zero by every private key. Whoever sends one would know the "secret"
    without owning any key, so an all-zero result is refused. Some libraries refuse it themselves and some do
    not, so both ways of finding out are here.
    """
    try:
        point = X25519PublicKey.from_public_bytes(public)
        secret = X25519PrivateKey.from_private_bytes(private).exchange(point)
    except ValueError as error:
        if len(private) == len(public) == KEY_SIZE:
            raise LowOrderPointError(public) from error
        raise
    if secret == bytes(KEY_SIZE):
        raise LowOrderPointError(public)
    return secret


# Hashes and key derivation ----------------------------------------------------------------------------------


def hash_(data: bytes) -> bytes:
    """Hash(data): 32 bytes."""
    return hashlib.blake2s(data, digest_size=HASH_SIZE).digest()


def mac(key: bytes, data: bytes) -> bytes:
    """Mac(key, data): 16 bytes. The key may have 16 bytes (a cookie) or 32 (a hash)."""
    return hashlib.blake2s(data, key=key, digest_size=MAC_SIZE).digest()


def hmac(key: bytes, data: bytes) -> bytes:
    """Hmac(key, data): 32 bytes."""
    return hmac_digest(key, data, "blake2s")


def kdf1(key: bytes, data: bytes) -> bytes:
    """Kdf1(key, data): one new chaining key."""
    return _kdf(key, data, outputs=1)[0]


def kdf2(key: bytes, data: bytes) -> tuple[bytes, bytes]:
    """Kdf2(key, data): usually a new chaining key and a key for one AEAD."""
    first, second = _kdf(key, data, outputs=2)
    return first, second


def kdf3(key: bytes, data: bytes) -> tuple[bytes, bytes, bytes]:
    """Kdf3(key, data): a new chaining key, a value to hash, and a key for one AEAD."""
    first, second, third = _kdf(key, data, outputs=3)
    return first, second, third


def _kdf(key: bytes, data: bytes, *, outputs: int) -> list[bytes]:
    secret = hmac(key, data)  # τ0 := Hmac(key, input)
    taus = [hmac(secret, b"\x01")]  # τ1 := Hmac(τ0, 0x1)
    for i in range(2, outputs + 1):
        taus.append(hmac(secret, taus[-1] + bytes([i])))  # τi := Hmac(τ0, τi-1 || i)
    return taus


# Authenticated encryption -----------------------------------------------------------------------------------


def aead(key: bytes, counter: int, plaintext: bytes, auth: bytes) -> bytes:
    """Aead(key, counter, plaintext, auth): the ciphertext followed by its 16-byte tag."""
    return ChaCha20Poly1305(key).encrypt(_nonce(counter), plaintext, auth)


def aead_open(key: bytes, counter: int, sealed: bytes, auth: bytes, *, field: str) -> bytes:
    """Give the plaintext back, or raise AuthenticationError naming `field`."""
    try:
        return ChaCha20Poly1305(key).decrypt(_nonce(counter), sealed, auth)
    except InvalidTag:
        raise AuthenticationError(field) from None


def xaead(key: bytes, nonce: bytes, plaintext: bytes, auth: bytes) -> bytes:
    """Xaead(key, nonce, plaintext, auth): like aead, with a nonce long enough to be drawn at random."""
    return crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, auth, nonce, key)


def xaead_open(key: bytes, nonce: bytes, sealed: bytes, auth: bytes, *, field: str) -> bytes:
    """Give the plaintext back, or raise AuthenticationError naming `field`."""
    try:
        return crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, auth, nonce, key)
    except CryptoError:
        raise AuthenticationError(field) from None


def verify(expected: bytes, found: bytes, *, field: str) -> None:
    """Compare two MACs, in a time that does not tell where they differ, or raise AuthenticationError."""
    if not compare_digest(expected, found):
        raise AuthenticationError(field)


def _nonce(counter: int) -> bytes:
    return bytes(4) + counter.to_bytes(8, "little")
