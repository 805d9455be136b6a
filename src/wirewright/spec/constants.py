"""The numbers and strings of the protocol, each with the document it comes from.

"The paper" is *WireGuard: Next Generation Kernel Network Tunnel* by Jason A. Donenfeld; its sections are
cited by number. Sizes are in bytes and durations in seconds unless a line says otherwise.
"""

from typing import Final

# Strings that everything else is derived from ---------------------------------------------------------------

CONSTRUCTION: Final = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
"""Paper 5.4: the Noise protocol name; hashed, it is the first chaining key."""

IDENTIFIER: Final = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
"""Paper 5.4: binds the handshake to WireGuard (what Noise calls the prologue)."""

LABEL_MAC1: Final = b"mac1----"
"""Paper 5.4: hashed with a public key, it is the key of `mac1`."""

LABEL_COOKIE: Final = b"cookie--"
"""Paper 5.4: hashed with a public key, it is the key that seals a cookie reply."""

# Sizes of the building blocks -------------------------------------------------------------------------------

KEY_SIZE: Final = 32
"""RFC 7748 section 5: an X25519 private key, public key or shared secret. Also RFC 8439 2.8: an AEAD key."""

TAG_SIZE: Final = 16
"""RFC 8439 section 2.8: every AEAD ciphertext is this much longer than its plaintext."""

HASH_SIZE: Final = 32
"""Paper 5.4: Hash() and Hmac() give 32 bytes of BLAKE2s (RFC 7693)."""

MAC_SIZE: Final = 16
"""Paper 5.4: Mac() gives 16 bytes of keyed BLAKE2s. A cookie is such a MAC, so it has this size too."""

TIMESTAMP_SIZE: Final = 12
"""Paper 5.4: TAI64N, 8 bytes of seconds and 4 bytes of nanoseconds, big-endian."""

COOKIE_NONCE_SIZE: Final = 24
"""Paper 5.4.7: the random nonce of XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha section 2)."""

PADDING_MULTIPLE: Final = 16
"""Paper 5.4.6: inner packets are zero-padded to a multiple of this before they are sealed."""

# Types of the four messages ---------------------------------------------------------------------------------

TYPE_INITIATION: Final = 1
"""Paper 5.4.2: handshake initiation, initiator to responder."""

TYPE_RESPONSE: Final = 2
"""Paper 5.4.3: handshake response, responder to initiator."""

TYPE_COOKIE_REPLY: Final = 3
"""Paper 5.4.7: cookie reply, sent instead of an answer while under load."""

TYPE_DATA: Final = 4
"""Paper 5.4.6: transport data, both ways."""

# Values with a meaning of their own -------------------------------------------------------------------------

NO_PRESHARED_KEY: Final = bytes(KEY_SIZE)
"""Paper 5.2: without the optional pre-shared key, 32 zero bytes take its place."""

NO_MAC2: Final = bytes(MAC_SIZE)
"""Paper 5.4.4: without a cookie, `mac2` is 16 zero bytes."""

TAI64_UNIX_EPOCH: Final = 2**62 + 10
"""D. J. Bernstein, "TAI64, TAI64N, and TAI64NA": the label of 1970-01-01 00:00:00 UTC, 10 s behind TAI."""

# Limits -----------------------------------------------------------------------------------------------------

REPLAY_WINDOW: Final = 8128
"""RFC 6479: a ring of 8192 bits, one 64-bit word of it kept free to slide. Linux chose the size."""

REKEY_AFTER_MESSAGES: Final = 2**60
"""Paper 6.1: after this many messages under one key, start a new handshake."""

REJECT_AFTER_MESSAGES: Final = 2**64 - 2**13 - 1
"""Paper 6.1: a key that sent this many messages sends no more; counters from this on are refused."""

REKEY_AFTER_TIME: Final = 120
"""Paper 6.1: a key of this age makes its initiator start a new handshake."""

REJECT_AFTER_TIME: Final = 180
"""Paper 6.1: a key of this age neither sends nor receives."""

REKEY_ATTEMPT_TIME: Final = 90
"""Paper 6.1: how long to go on retrying a handshake that nobody answers."""

REKEY_TIMEOUT: Final = 5
"""Paper 6.1: how long to wait for a response before the next initiation."""

KEEPALIVE_TIMEOUT: Final = 10
"""Paper 6.1: how long to stay silent after receiving data before sending an empty message."""

COOKIE_LIFETIME: Final = 120
"""Paper 5.4.4 and 5.4.7: a cookie is used, and the secret behind it kept, for two minutes."""
