"""What nobody will ask for again is removed: old answers, and the history of addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, update

from wirewright.coordinator.clock import DAY
from wirewright.coordinator.services import idempotency
from wirewright.coordinator.storage.logins import Challenge
from wirewright.coordinator.storage.tables import Address

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Transaction

HISTORY: Final = 90 * DAY
"""For which it is known who had an address. The audit log is kept for ever."""


async def clear(tx: Transaction) -> None:
    """Remove what is too old."""
    await idempotency.trim(tx)
    over = update(Address).where(Address.state == "quarantined", Address.until <= tx.now)
    await tx.session.execute(over.values(state="released"))
    await tx.session.execute(delete(Challenge).where(Challenge.ends_at <= tx.now))
    old = delete(Address).where(Address.state == "released", Address.until <= tx.now - HISTORY)
    await tx.session.execute(old)
