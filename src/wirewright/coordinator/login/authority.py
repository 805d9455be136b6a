"""Who may change what somebody logs in with: themselves, and who may change users and all that the other may.

Whoever has what another logs in with may what they may, for as long as they like. So the token that asks must
be worth as much: one with few scopes, or one that ends, would give more than it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wirewright.coordinator.errors import ForbiddenError
from wirewright.coordinator.services import users
from wirewright.coordinator.services.access import ROLES, Role, Scope

if TYPE_CHECKING:
    from wirewright.coordinator.services.access import Caller
    from wirewright.coordinator.storage import Transaction
    from wirewright.coordinator.storage.tables import User


async def over(tx: Transaction, caller: Caller, user_id: str) -> User:
    """Return the user, or raise `ForbiddenError`; `NotFoundError` if there is none."""
    if user_id != caller.user_id:
        caller.require(Scope.USERS_WRITE)
    user = await users.get(tx, user_id)
    if not ROLES[Role(user.role)] <= caller.scopes:
        raise ForbiddenError(
            "To change what somebody logs in with takes a token that may all that their role may."
        )
    if caller.expires_at is not None:
        raise ForbiddenError("A token that expires may not change what its user logs in with.")
    return user
