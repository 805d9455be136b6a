"""Passwords: argon2id, computed apart from the event loop and a few at a time, since each takes 64 MiB."""

from __future__ import annotations

import asyncio
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from pwdlib.exceptions import PwdlibError
from pwdlib.hashers.argon2 import Argon2Hasher

from wirewright.coordinator.errors import InvalidError, TooManyError
from wirewright.coordinator.login import authority, sessions
from wirewright.coordinator.services import audit
from wirewright.coordinator.storage.logins import Password

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from wirewright.coordinator.services.access import Caller
    from wirewright.coordinator.storage import Transaction

    T = TypeVar("T")

SHORTEST: Final = 12
LONGEST: Final = 1024
AT_ONCE: Final = 2
WAITING: Final = 32
"""Passwords that wait for their turn; more are told to come again."""
_OBVIOUS: Final = frozenset(
    {"password", "passwort", "wirewright", "wireguard", "qwertyuiop", "letmein", "admin"}
)
# The second choice of RFC 9106, section 4: 64 MiB, three passes, four lanes.
_HASHER: Final = Argon2Hasher(time_cost=3, memory_cost=64 * 1024, parallelism=4)
_NOBODYS: Final = (
    "$argon2id$v=19$m=65536,t=3,p=4$yUdovfhDNI84wJ96mES95A$iWHHT4hZm0VIhHAPsgzeAsOwSOq0PsipauzXDzLCWQM"
)
"""What the password of a user is compared with who does not exist, so that it takes as long."""


def check(password: str, name: str) -> None:
    """Raise `InvalidError` for a password that would be guessed."""
    if len(password) < SHORTEST:
        raise InvalidError(f"A password has at least {SHORTEST} characters; a few words are easiest to keep.")
    if len(password) > LONGEST:
        raise InvalidError(f"A password has at most {LONGEST} characters.")
    plain = _letters(password)
    rest = plain
    for word in sorted({*_OBVIOUS, _letters(name)}, key=len, reverse=True):
        rest = rest.replace(word, "")
    if len(set(password)) < 5 or (plain and not rest and len(password) < 2 * SHORTEST):
        raise InvalidError(
            "This password would be guessed soon; take a few words that have nothing in common."
        )


class Passwords:
    """Computes hashes of one process."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="passwords")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Return what is kept of a password; raise `TooManyError` if too many wait."""
        return await self._do(lambda: _HASHER.hash(_plain(password)))

    async def verify(self, password: str, kept: str | None) -> bool:
        """Whether a password is the one that was hashed; as slowly where there is none."""

        def compare() -> bool:
            try:
                return _HASHER.verify(_plain(password), kept or _NOBODYS) and kept is not None
            except PwdlibError:
                return False

        return await self._do(compare)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _do(self, work: Callable[[], T]) -> T:
        if self._waiting >= WAITING:
            error = TooManyError("Too many people log in at this moment; come again in a few seconds.")
            error.retry_after = 5
            raise error
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


async def set_password(
    tx: Transaction, caller: Caller, user_id: str, hashed: str, *, keep: str | None = None
) -> None:
    """Give a user another password, and end their sessions but for ``keep``; who may is `authority.over`."""
    user = await authority.over(tx, caller, user_id)
    await keep_hash(tx, user_id, hashed)
    await sessions.end_all(tx, user_id, but=keep)
    audit.record(tx, caller, "user.password", user_id, name=user.name)


async def keep_hash(tx: Transaction, user_id: str, hashed: str) -> None:
    """Keep what a password is compared with."""
    row = await tx.session.get(Password, user_id)
    if row is None:
        tx.session.add(Password(user_id=user_id, hash=hashed, changed_at=tx.now))
    else:
        row.hash, row.changed_at = hashed, tx.now
    await tx.session.flush()


async def hash_of(tx: Transaction, user_id: str) -> str | None:
    """Return what a user's password is compared with; ``None`` for who has none."""
    row = await tx.session.get(Password, user_id)
    return None if row is None else row.hash


def _letters(text: str) -> str:
    return "".join(each for each in text.casefold() if each.isalpha())


def _plain(password: str) -> bytes:
    """Return one form of what keyboards make in several: NFKC (NIST SP 800-63B, section 5.1.1.2)."""
    # What is no text (a lone surrogate) fits nothing, and breaks nothing.
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
