"""The encryption of a backup: a stream of chunks, of which none can be changed, moved, left out or added.

A first line names the format, a second one, in JSON, what the key is derived by: scrypt (RFC 7914) with its
costs and a random salt. Then come chunks of ChaCha20-Poly1305 (RFC 8439) in the construction STREAM (Hoang,
Reyhanitabar, Rogaway and Vizár, 2015): each nonce is a random prefix, the chunk's number, and whether it is
the last one. The two lines are authenticated with each chunk. Inside, the plaintext is compressed (zlib).
"""

from __future__ import annotations

import json
import os
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

MAGIC: Final = b"wirewright backup 1\n"
CHUNK: Final = 64 * 1024
"""Bytes of plaintext in all chunks but the last one."""
_TAG: Final = 16
_PREFIX: Final = 7
_HEADER: Final = 4096
COST: Final = 1 << 17
"""scrypt's N, with r = 8 and p = 1: 128 MiB of memory for each guess of a passphrase."""
_LARGEST_COST: Final = 1 << 20
LINE: Final = 16 * 1024 * 1024
"""Bytes of a line inside, at most."""
SHORTEST: Final = 8
"""Characters of a passphrase, at least."""


class BackupError(Exception):
    """A backup cannot be made or used; the text says why, and what to do about it."""


@dataclass(frozen=True, slots=True)
class _Cipher:
    cipher: ChaCha20Poly1305
    prefix: bytes
    header: bytes

    def seal(self, number: int, chunk: bytes, *, last: bool) -> bytes:
        return self.cipher.encrypt(self._nonce(number, last), chunk, self.header)

    def open(self, number: int, chunk: bytes, *, last: bool) -> bytes:
        return self.cipher.decrypt(self._nonce(number, last), chunk, self.header)

    def _nonce(self, number: int, last: bool) -> bytes:
        return self.prefix + number.to_bytes(4, "big") + bytes([last])


class Sealer:
    """Writes a backup, line by line; it is whole once `finish` has returned."""

    def __init__(self, file: BinaryIO, passphrase: str, *, cost: int = COST) -> None:
        if len(passphrase) < SHORTEST:
            raise BackupError(f"A passphrase has at least {SHORTEST} characters; longer ones are better.")
        salt, prefix = os.urandom(16), os.urandom(_PREFIX)
        told = {"kdf": "scrypt", "n": cost, "r": 8, "p": 1, "salt": _text(salt), "nonce": _text(prefix)}
        header = MAGIC + json.dumps(told).encode() + b"\n"
        self._file = file
        self._cipher = _Cipher(_derived(passphrase, salt, cost), prefix, header)
        self._compressor = zlib.compressobj()
        self._waiting = bytearray()
        self._number = 0
        file.write(header)

    def write(self, line: bytes) -> None:
        """Add a line, without its end."""
        self._waiting += self._compressor.compress(line + b"\n")
        # One chunk stays back: it may be the last.
        while len(self._waiting) > CHUNK:
            self._put(bytes(self._waiting[:CHUNK]), last=False)
            del self._waiting[:CHUNK]

    def finish(self) -> None:
        """Write what waits, and the end."""
        self._waiting += self._compressor.flush()
        while len(self._waiting) > CHUNK:
            self._put(bytes(self._waiting[:CHUNK]), last=False)
            del self._waiting[:CHUNK]
        self._put(bytes(self._waiting), last=True)

    def _put(self, chunk: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.seal(self._number, chunk, last=last))
        self._number += 1


def lines(file: BinaryIO, passphrase: str) -> Iterator[bytes]:
    """Yield the lines of a backup, each as soon as it is known to be genuine; raise `BackupError`.

    That nothing is missing at the end is known only once all lines were read.
    """
    cipher = _opened(file, passphrase)
    decompressor = zlib.decompressobj()
    rest = b""
    for plain in _chunks(file, cipher):
        pending = plain
        while pending:
            rest += decompressor.decompress(pending, LINE)
            pending = decompressor.unconsumed_tail
            *whole, rest = rest.split(b"\n")
            yield from whole
            if len(rest) > LINE:
                raise BackupError("The backup has a line that is too long.")
    if rest or not decompressor.eof:
        raise BackupError("The backup does not end as one does.")


def _chunks(file: BinaryIO, cipher: _Cipher) -> Iterator[bytes]:
    number = 0
    sealed = file.read(CHUNK + _TAG)
    while True:
        following = file.read(CHUNK + _TAG)
        try:
            yield cipher.open(number, sealed, last=not following)
        except InvalidTag:
            why = (
                "The passphrase is wrong, or the backup is damaged."
                if number == 0
                else "The backup is damaged, or its end is missing."
            )
            raise BackupError(why) from None
        if not following:
            return
        sealed, number = following, number + 1


def _opened(file: BinaryIO, passphrase: str) -> _Cipher:
    magic = file.read(len(MAGIC))
    if magic != MAGIC:
        newer = magic.startswith(b"wirewright backup ")
        raise BackupError(
            "This backup is of a newer version of the program."
            if newer
            else "This is no backup of a coordinator."
        )
    told = file.readline(_HEADER)
    try:
        data = json.loads(told)
        cost, salt, prefix = int(data["n"]), b64decode(data["salt"]), b64decode(data["nonce"])
        usual = (data["kdf"], data["r"], data["p"]) == ("scrypt", 8, 1)
    except (KeyError, TypeError, ValueError):
        raise BackupError("The backup's head is damaged.") from None
    power_of_two = cost > 1 and not cost & (cost - 1)
    if not usual or not power_of_two or cost > _LARGEST_COST or len(prefix) != _PREFIX or len(salt) < 8:
        raise BackupError("The backup's head asks for what no backup has.")
    return _Cipher(_derived(passphrase, salt, cost), prefix, magic + told)


def _derived(passphrase: str, salt: bytes, cost: int) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(Scrypt(salt, 32, cost, 8, 1).derive(passphrase.encode()))


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()
