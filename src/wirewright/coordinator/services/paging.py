"""Lists a page at a time: rows after a cursor, which is the identifier of the last one seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.orm import InstrumentedAttribute

    from wirewright.coordinator.storage import Transaction

T = TypeVar("T")

LIMIT: Final = 200
"""Rows of a page, at most."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows, and the cursor of the next page; ``None`` where these are the last."""

    items: list[T]
    next: str | None


async def page(
    tx: Transaction,
    query: Select[T],
    column: InstrumentedAttribute[str],
    after: str | None,
    limit: int,
    *,
    backwards: bool = False,
) -> Page[T]:
    """Return at most ``limit`` rows of ``query`` whose ``column`` comes after ``after``, in this order."""
    if after is not None:
        query = query.where(column < after if backwards else column > after)
    order = column.desc() if backwards else column
    rows: list[Any] = list(await tx.session.scalars(query.order_by(order).limit(limit + 1)))
    items = rows[:limit]
    return Page(items, getattr(items[-1], column.key) if len(rows) > limit else None)
