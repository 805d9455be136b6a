"""The same request twice, the same answer twice: creates with an ``Idempotency-Key``.

The key's row is written in the transaction of the work, so that there are both or neither. Answers may show
secrets once; so they are kept sealed, under a key that is derived from the bearer token and the
``Idempotency-Key``, neither of which the database has.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from wirewright.coordinator.clock import DAY
from wirewright.coordinator.errors import ConflictError, InvalidError
from wirewright.coordinator.storage.tables import Idempotency

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Transaction

KEPT: Final = DAY
"""For which an answer is kept."""
KEY_LENGTH: Final = 128
"""Characters of a key, at most."""
_NONCE = 12


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request with an ``Idempotency-Key``: whose it is, the key, and what it asks."""

    user_id: str
    key: str = field(repr=False)
    bearer: str = field(repr=False)
    request: bytes = field(repr=False)
    """Method, path and body."""

    def __post_init__(self) -> None:
        if not 0 < len(self.key) <= KEY_LENGTH or not self.key.isprintable():
            raise InvalidError(f"An Idempotency-Key has 1 to {KEY_LENGTH} printable characters.")

    @property
    def key_hash(self) -> bytes:
        """What the row is found by."""
        return hashlib.sha256(self.key.encode("utf-8", "surrogateescape")).digest()

    def seal(self, answer: bytes) -> bytes:
        """Encrypt an answer."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher().encrypt(nonce, answer, self.key_hash)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt an answer; raise `ConflictError` if another token of the user got it."""
        try:
            return self._cipher().decrypt(sealed[:_NONCE], sealed[_NONCE:], self.key_hash)
        except InvalidTag:
            raise ConflictError(
                "This Idempotency-Key was used with another token of the same user."
            ) from None

    def _cipher(self) -> ChaCha20Poly1305:
        salt = self.key.encode("utf-8", "surrogateescape")
        derive = HKDF(SHA256(), 32, salt=salt, info=b"wirewright idempotency v1")
        return ChaCha20Poly1305(derive.derive(self.bearer.encode()))


async def once(
    tx: Transaction, attempt: Attempt, status: int, work: Callable[[Transaction], Awaitable[bytes]]
) -> tuple[int, bytes]:
    """Do the work, or return the status and the answer of the time when it was done."""
    insert = postgresql.insert if tx.dialect == "postgresql" else sqlite.insert
    request_hash = hashlib.sha256(attempt.request).digest()
    mine = (Idempotency.user_id == attempt.user_id, Idempotency.key_hash == attempt.key_hash)
    await tx.session.execute(delete(Idempotency).where(*mine, Idempotency.at <= tx.now - KEPT))
    first = {
        "user_id": attempt.user_id,
        "key_hash": attempt.key_hash,
        "request_hash": request_hash,
        "status": status,
        "answer": b"",
        "at": tx.now,
    }
    # A second one that comes meanwhile waits here until the first one is committed, or is not.
    statement = insert(Idempotency).values(first).on_conflict_do_nothing().returning(Idempotency.at)
    if await tx.session.scalar(statement) is None:
        known = await tx.session.scalar(select(Idempotency).where(*mine))
        if known is None:
            raise ConflictError("A request with this Idempotency-Key is being worked on; ask again.")
        if known.request_hash != request_hash:
            raise InvalidError("This Idempotency-Key was used for another request.")
        return known.status, attempt.open(known.answer)
    answer = await work(tx)
    await tx.session.flush()
    await tx.session.execute(update(Idempotency).where(*mine).values(answer=attempt.seal(answer)))
    return status, answer


async def trim(tx: Transaction) -> None:
    """Forget answers that are too old to be asked for again."""
    await tx.session.execute(delete(Idempotency).where(Idempotency.at <= tx.now - KEPT))
