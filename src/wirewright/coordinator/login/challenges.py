"""What a browser is to answer once and soon, kept in the database, so that any replica may hear the answer.

Only the hash of a challenge is its row's name: who reads the database cannot answer in somebody's place.
Those that are nobody's yet (who logs in is known at the end) are bounded, and the oldest goes: who asks for
many at once keeps nobody else from the few seconds that an answer takes, since `Throttle` lets them ask so
often and no more.
"""

from __future__ import annotations

import hashlib
import secrets
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, select

from wirewright.coordinator.clock import MINUTE
from wirewright.coordinator.storage.logins import Challenge

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Transaction

LIFETIME: Final = 5 * MINUTE
NOBODYS: Final = 4096
"""Challenges that are no user's, at most."""
_AT_ONCE: Final = 256


class Purpose(StrEnum):
    """What is to be answered; a challenge for one thing is none for another."""

    PASSKEY_ADD = "passkey-add"
    PASSKEY_LOGIN = "passkey-login"
    PROVIDER = "provider"


async def ask(
    tx: Transaction, purpose: Purpose, value: dict[str, Any] | None = None, user_id: str | None = None
) -> bytes:
    """Return a challenge of 32 random bytes; of a user's for one purpose only the newest is good."""
    if user_id is not None:
        mine = delete(Challenge).where(Challenge.purpose == purpose.value, Challenge.user_id == user_id)
        await tx.session.execute(mine)
    else:
        await _make_room(tx)
    challenge = secrets.token_bytes(32)
    tx.session.add(
        Challenge(
            id=_name(challenge),
            purpose=purpose.value,
            user_id=user_id,
            value=value or {},
            ends_at=tx.now + LIFETIME,
        )
    )
    await tx.session.flush()
    return challenge


async def answered(
    tx: Transaction, purpose: Purpose, challenge: bytes, user_id: str | None = None
) -> dict[str, Any] | None:
    """Take a challenge, which is gone then; ``None`` if there is no such one, or not any more."""
    whose = Challenge.user_id.is_(None) if user_id is None else Challenge.user_id == user_id
    taken = delete(Challenge).where(
        Challenge.id == _name(challenge),
        Challenge.purpose == purpose.value,
        whose,
        Challenge.ends_at > tx.now,
    )
    value: dict[str, Any] | None = await tx.session.scalar(taken.returning(Challenge.value))
    return value


async def waiting(tx: Transaction) -> int:
    """Return how many challenges are no user's."""
    count = select(func.count()).select_from(Challenge).where(Challenge.user_id.is_(None))
    return await tx.session.scalar(count) or 0


async def _make_room(tx: Transaction) -> None:
    if await waiting(tx) >= NOBODYS:
        oldest = (
            select(Challenge.id)
            .where(Challenge.user_id.is_(None))
            .order_by(Challenge.ends_at)
            .limit(_AT_ONCE)
        )
        await tx.session.execute(delete(Challenge).where(Challenge.id.in_(oldest)))


def _name(challenge: bytes) -> str:
    return hashlib.sha256(b"wirewright challenge " + challenge).hexdigest()
