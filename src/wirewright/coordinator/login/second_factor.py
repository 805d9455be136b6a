"""The second factor: codes of an authenticator (TOTP, RFC 6238), and recovery codes for when it is lost.

A code is good for its period of 30 seconds and the one before and after, since clocks differ, and for one
use: the newest period that was taken is kept, and none up to it is taken again. A recovery code is 80 bits of
randomness, kept as a hash, and used once.

The secret must be known to be compared, so that it stands in the database as it is, and in backups, which are
encrypted. Who reads the database has the second factor, but neither password nor session.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b32decode, b32encode
from typing import TYPE_CHECKING, Final

import pyotp
from sqlalchemy import select

from wirewright.coordinator.clock import SECOND
from wirewright.coordinator.errors import ConflictError, InvalidError, NotFoundError
from wirewright.coordinator.login import authority
from wirewright.coordinator.services import audit
from wirewright.coordinator.storage.logins import SecondFactor

if TYPE_CHECKING:
    from wirewright.coordinator.services.access import Caller
    from wirewright.coordinator.storage import Transaction
    from wirewright.coordinator.storage.tables import User

PERIOD: Final = 30
RECOVERY_CODES: Final = 10
_ISSUER: Final = "Wirewright"


async def is_wanted(tx: Transaction, user_id: str) -> bool:
    """Whether a user has a second factor, and confirmed it."""
    row = await tx.session.get(SecondFactor, user_id)
    return row is not None and row.is_confirmed


async def begin(tx: Transaction, user: User) -> str:
    """Make a secret, worth nothing until a code of it is shown; return the address of a code to scan."""
    row = await tx.session.get(SecondFactor, user.id)
    if row is not None and row.is_confirmed:
        raise ConflictError("There is a second factor already; remove it first.")
    secret = secrets.token_bytes(20)
    if row is None:
        row = SecondFactor(
            user_id=user.id, secret=secret, is_confirmed=False, last_step=0, recovery=[], created_at=tx.now
        )
        tx.session.add(row)
    else:
        row.secret, row.created_at = secret, tx.now
    await tx.session.flush()
    return uri(row, user.name)


async def pending(tx: Transaction, user: User) -> str | None:
    """Return the address of the code to scan of a second factor that waits to be confirmed."""
    row = await tx.session.get(SecondFactor, user.id)
    return None if row is None or row.is_confirmed else uri(row, user.name)


def uri(row: SecondFactor, name: str) -> str:
    """Return what an authenticator scans."""
    return _totp(row).provisioning_uri(name=name, issuer_name=_ISSUER)


async def confirm(tx: Transaction, caller: Caller, user_id: str, code: str) -> list[str]:
    """Take a second factor into use by a first code; return the recovery codes, to be shown once."""
    row = await _locked(tx, user_id)
    if row is None or row.is_confirmed:
        raise ConflictError("There is no second factor to be confirmed.")
    if not _matches(row, code, tx.now):
        raise InvalidError(
            "This is not the code that the authenticator shows now; look again, and repeat it."
        )
    codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
    row.is_confirmed, row.recovery = True, [_hash(code) for code in codes]
    audit.record(tx, caller, "user.second-factor", user_id, enabled=True)
    return codes


async def show(tx: Transaction, user_id: str, code: str) -> bool:
    """Take a code, or a recovery code, of a confirmed second factor; each is good once."""
    row = await _locked(tx, user_id)
    if row is None or not row.is_confirmed:
        return False
    if _matches(row, code, tx.now):
        return True
    wanted = _hash(code)
    found = [kept for kept in row.recovery if hmac.compare_digest(kept, wanted)]
    if found:
        row.recovery = [kept for kept in row.recovery if kept not in found]
    return bool(found)


async def left(tx: Transaction, user_id: str) -> int:
    """Return how many recovery codes are left."""
    row = await tx.session.get(SecondFactor, user_id)
    return 0 if row is None else len(row.recovery)


async def remove(tx: Transaction, caller: Caller, user_id: str) -> None:
    """Have a user log in without a second factor; who may is `authority.over`."""
    await authority.over(tx, caller, user_id)
    row = await _locked(tx, user_id)
    if row is None:
        raise NotFoundError("There is no second factor to remove.")
    await tx.session.delete(row)
    if row.is_confirmed:
        audit.record(tx, caller, "user.second-factor", user_id, enabled=False)


async def _locked(tx: Transaction, user_id: str) -> SecondFactor | None:
    query = select(SecondFactor).where(SecondFactor.user_id == user_id).with_for_update()
    row: SecondFactor | None = await tx.session.scalar(query.execution_options(populate_existing=True))
    return row


def _totp(row: SecondFactor) -> pyotp.TOTP:
    return pyotp.TOTP(b32encode(row.secret).decode(), interval=PERIOD)


def _matches(row: SecondFactor, code: str, now: int) -> bool:
    plain = code.replace(" ", "")
    if len(plain) != 6 or not plain.isascii() or not plain.isdigit():
        return False
    step = now // SECOND // PERIOD
    totp = _totp(row)
    for candidate in (step - 1, step, step + 1):
        if candidate > row.last_step and hmac.compare_digest(totp.generate_otp(candidate), plain):
            row.last_step = candidate
            return True
    return False


def _recovery_code() -> str:
    text = b32encode(secrets.token_bytes(10)).decode().lower()
    return "-".join(text[at : at + 4] for at in range(0, 16, 4))


def _hash(code: str) -> str:
    plain = code.strip().lower().replace("-", "").replace(" ", "")
    try:
        raw = b32decode(plain.upper().encode("ascii"))
    except ValueError:
        raw = b""
    return hashlib.sha256(b"wirewright recovery " + raw).hexdigest()
