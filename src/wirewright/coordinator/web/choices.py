"""What forms offer to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from wirewright.coordinator.services import users
from wirewright.coordinator.services.access import Scope
from wirewright.coordinator.storage.tables import Audit, Device, Gateway, User

if TYPE_CHECKING:
    from wirewright.coordinator.services.access import Caller
    from wirewright.coordinator.storage import Transaction

_MOST: Final = 500
"""Names that are offered; one more can be typed where a name is."""


async def gateways_to_choose(tx: Transaction) -> list[Gateway]:
    """Return gateways by name, as all who add devices may see their names."""
    return list(await tx.session.scalars(select(Gateway).order_by(Gateway.name).limit(_MOST)))


async def users_to_choose(tx: Transaction, caller: Caller) -> list[User]:
    """Return users by name; none for who may not see them. More than these are for `user_chosen`, too."""
    if not caller.may(Scope.USERS_READ):
        return []
    return list(await tx.session.scalars(select(User).order_by(User.name).limit(_MOST)))


async def user_chosen(tx: Transaction, caller: Caller, text: str) -> str | None:
    """Return the identifier of the user whose name was typed; ``None`` for nobody."""
    wanted = text.strip()
    # Who may not see users does not learn here which there are.
    return await users.choose(tx, wanted) if wanted and caller.may(Scope.USERS_READ) else wanted or None


async def names_of(tx: Transaction, lines: list[Audit]) -> dict[str, str]:
    """Return the names of the devices, gateways and users that lines of the audit log are about."""
    wanted = {line.subject for line in lines}
    for line in lines:
        wanted |= {value for value in line.detail.values() if isinstance(value, str) and len(value) == 36}
    found: dict[str, str] = {}
    for table in (Device, Gateway, User):
        rows = await tx.session.execute(select(table.id, table.name).where(table.id.in_(wanted)))
        found |= {row.id: row.name for row in rows}
    return found
