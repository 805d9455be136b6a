"""Links by which the owner of the machine gets in again: past a lost password, or a lost second factor.

Who may write the database may make one, as they could write anything else into it. It opens one session,
once, and is worth nothing after `LIFETIME`, or when another one is made for the same user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select

from wirewright.coordinator.clock import MINUTE
from wirewright.coordinator.errors import ConflictError, ForbiddenError, NotFoundError
from wirewright.coordinator.login import signing_in
from wirewright.coordinator.services import audit
from wirewright.coordinator.services.access import SYSTEM, Role
from wirewright.coordinator.services.credentials import Kind, Secret
from wirewright.coordinator.storage.logins import Challenge
from wirewright.coordinator.storage.tables import User

if TYPE_CHECKING:
    from wirewright.coordinator.login.sessions import Browser
    from wirewright.coordinator.login.signing_in import Entered
    from wirewright.coordinator.storage import Transaction

LIFETIME: Final = 15 * MINUTE
BY: Final = "link"
"""What a session that began by one says."""
_PURPOSE: Final = BY
_REFUSED: Final = (
    "This link is unknown, over or was used already. Whoever owns the machine makes another one there: "
    "ww serve login-link."
)


async def make(tx: Transaction, name: str | None = None) -> tuple[User, Secret]:
    """Make a link for a user, or the oldest enabled admin; one made for them before is worth nothing."""
    query = select(User).order_by(User.id).limit(1)
    if name is None:
        query = query.where(User.role == Role.ADMIN.value, User.enabled)
    else:
        query = query.where(User.name == name)
    user = await tx.session.scalar(query)
    if user is None:
        raise NotFoundError("There is no enabled admin." if name is None else f"There is no user {name}.")
    if not user.enabled:
        raise ConflictError(f"{user.name} is disabled: enable them first (ww user enable).")
    mine = delete(Challenge).where(Challenge.purpose == _PURPOSE, Challenge.user_id == user.id)
    await tx.session.execute(mine)
    secret = Secret.generate(Kind.LINK)
    value = {"hash": secret.hash.hex()}
    tx.session.add(
        Challenge(
            id=secret.public_id, purpose=_PURPOSE, user_id=user.id, value=value, ends_at=tx.now + LIFETIME
        )
    )
    audit.record(tx, SYSTEM, "login.link", user.id, name=user.name)
    return user, secret


async def redeem(tx: Transaction, text: str, browser: Browser) -> Entered:
    """Begin a whole session of a link's user; raise `ForbiddenError` for what is no link any more."""
    secret = Secret.parse(Kind.LINK, text)
    found = None
    if secret is not None:
        # The lock lets one of two through.
        query = select(Challenge).where(Challenge.id == secret.public_id, Challenge.purpose == _PURPOSE)
        found = await tx.session.scalar(query.with_for_update())
    kept = None if found is None else bytes.fromhex(found.value["hash"])
    if secret is None or not secret.matches(kept) or found is None or found.ends_at <= tx.now:
        raise ForbiddenError(_REFUSED)
    user = await tx.session.get(User, found.user_id)
    if user is None or not user.enabled:
        raise ForbiddenError(_REFUSED)
    await tx.session.delete(found)
    return await signing_in.enter(tx, user, browser, whole=True, by=BY)
