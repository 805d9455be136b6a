"""The audit log: what was done, by whom, when; written in the transaction that does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from wirewright.coordinator.identity import new_id
from wirewright.coordinator.services.paging import Page, page
from wirewright.coordinator.storage.tables import Audit

if TYPE_CHECKING:
    from wirewright.coordinator.services.access import Caller
    from wirewright.coordinator.storage import Transaction


def record(tx: Transaction, caller: Caller, action: str, subject: str, **detail: object) -> None:
    """Write a line. ``detail`` is JSON, and never a secret."""
    tx.session.add(
        Audit(
            id=new_id(tx.now),
            at=tx.now,
            actor=caller.actor,
            origin=caller.origin,
            action=action,
            subject=subject,
            detail=detail,
        )
    )


async def entries(
    tx: Transaction,
    after: str | None,
    limit: int,
    *,
    action: str | None = None,
    subject: str | None = None,
    newest_first: bool = False,
) -> Page[Audit]:
    """Return lines in the order in which they were written, perhaps only those of an action or a subject."""
    query = select(Audit)
    if action is not None:
        query = query.where(Audit.action == action)
    if subject is not None:
        query = query.where(Audit.subject == subject)
    return await page(tx, query, Audit.id, after, limit, backwards=newest_first)


def detail_of(**values: Any) -> dict[str, object]:  # noqa: ANN401 (any JSON)
    """Return the values that are not ``None``."""
    return {name: value for name, value in values.items() if value is not None}
