"""The first start of the page: a token that the terminal shows makes its reader the administrator.

There are no default credentials. As long as nobody can log in, each start of the coordinator makes a token
and shows it where it was started; the one before is worth nothing from then on. It is used once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import exists, select
from sqlalchemy.dialects import postgresql, sqlite

from wirewright.coordinator.clock import DAY
from wirewright.coordinator.errors import ConflictError, ForbiddenError
from wirewright.coordinator.login import passwords
from wirewright.coordinator.services import audit, users
from wirewright.coordinator.services.access import SYSTEM, Caller, Role
from wirewright.coordinator.services.credentials import Kind, Secret
from wirewright.coordinator.storage.logins import Identity, Passkey, Password
from wirewright.coordinator.storage.tables import Setting, User

if TYPE_CHECKING:
    from sqlalchemy import Select

    from wirewright.coordinator.storage import Transaction

LIFETIME: Final = DAY
_SETUP: Final = "setup"


async def is_needed(tx: Transaction) -> bool:
    """Whether no administrator can log in yet; others may, by a provider of identities."""
    return not await _some_can(tx, select(User.id).where(User.role == Role.ADMIN.value, User.enabled))


async def is_first(tx: Transaction) -> bool:
    """Whether nobody at all can log in yet, so that a login leads nowhere."""
    return not await _some_can(tx, select(User.id))


async def _some_can(tx: Transaction, users_: Select[str]) -> bool:
    for table in (Password, Passkey, Identity):
        if await tx.session.scalar(select(exists().where(table.user_id.in_(users_)))):
            return True
    return False


async def renew(tx: Transaction) -> Secret | None:
    """Return a token to be shown to whoever starts the coordinator; ``None`` once somebody can log in."""
    if not await is_needed(tx):
        return None
    secret = Secret.generate(Kind.SETUP)
    value = {"hash": secret.hash.hex(), "until": tx.now + LIFETIME}
    insert = (postgresql.insert if tx.dialect == "postgresql" else sqlite.insert)(Setting)
    kept = insert.values(name=_SETUP, value=value)
    await tx.session.execute(kept.on_conflict_do_update(index_elements=["name"], set_={"value": value}))
    return secret


async def complete(tx: Transaction, text: str, name: str, hashed: str, origin: str) -> User:
    """Make whoever has the token an administrator with a password, or raise `ForbiddenError`."""
    # The row's lock lets one of two through.
    row = await tx.session.scalar(select(Setting).where(Setting.name == _SETUP).with_for_update())
    if row is None or not await is_needed(tx):
        raise ConflictError("Somebody has made the first login already. Log in, or ask them for a user.")
    secret = Secret.parse(Kind.SETUP, text)
    kept = bytes.fromhex(row.value["hash"])
    if secret is None or not secret.matches(kept) or row.value["until"] <= tx.now:
        raise ForbiddenError(
            "This is not the token that the terminal shows now. Start the coordinator again to see another."
        )
    user = await tx.session.scalar(select(User).where(User.name == name))
    if user is None:
        user = await users.create(tx, SYSTEM, name, Role.ADMIN)
    elif user.role != Role.ADMIN or not user.enabled:
        raise ConflictError(f"{name} is there already, and is no administrator; take another name.")
    await passwords.keep_hash(tx, user.id, hashed)
    await tx.session.delete(row)
    caller = Caller(f"user {user.name}", origin, Role.ADMIN, SYSTEM.scopes, user.id)
    audit.record(tx, caller, "setup.complete", user.id, name=user.name)
    return user
