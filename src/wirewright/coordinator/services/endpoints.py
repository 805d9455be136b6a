"""Where devices came from: the endpoints that their gateways saw, with the first and the last time of each.

Only a change is written. As long as a device stays where it is, its report says when it was last there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from wirewright.coordinator.storage.tables import Endpoint, Report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wirewright.coordinator.storage import Transaction

KEPT: Final = 20
"""Endpoints of a device."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An endpoint; times in microseconds since 1970."""

    endpoint: str
    first_seen: int
    last_seen: int


async def note(tx: Transaction, now_at: Mapping[str, str]) -> None:
    """Keep where devices are, by their identifiers, before their reports are replaced."""
    rows = await tx.session.execute(
        select(Report.device_id, Report.endpoint, Report.at).where(Report.device_id.in_(now_at))
    )
    before = {row.device_id: (row.endpoint, row.at) for row in rows}
    moved = [key for key, where in sorted(now_at.items()) if where and before.get(key, ("", 0))[0] != where]
    if not moved:
        return
    written = []
    for device_id in moved:
        endpoint, at = before.get(device_id, ("", 0))
        if endpoint:
            written.append((device_id, endpoint, at))
        written.append((device_id, now_at[device_id], tx.now))
    insert = (postgresql.insert if tx.dialect == "postgresql" else sqlite.insert)(Endpoint)
    upsert = insert.on_conflict_do_update(
        index_elements=["device_id", "endpoint"], set_={"last_seen": insert.excluded.last_seen}
    )
    values = [
        {"device_id": device_id, "endpoint": endpoint, "first_seen": at, "last_seen": at}
        for device_id, endpoint, at in written
    ]
    await tx.session.execute(upsert, values)
    # Few have too many at a time, and to ask for each would cost most of a report in which many moved.
    query = select(Endpoint.device_id).where(Endpoint.device_id.in_(moved))
    for device_id in await tx.session.scalars(query.group_by(Endpoint.device_id).having(func.count() > KEPT)):
        await _trim(tx, device_id)


async def of(tx: Transaction, device_id: str) -> list[Seen]:
    """Return a device's endpoints, the newest first."""
    rows = await tx.session.scalars(
        select(Endpoint)
        .where(Endpoint.device_id == device_id)
        .order_by(Endpoint.last_seen.desc(), Endpoint.endpoint)
        .limit(KEPT)
    )
    report = await tx.session.get(Report, device_id)
    now_at = report.endpoint if report else ""
    at = report.at if report else 0
    found = [
        Seen(row.endpoint, row.first_seen, max(row.last_seen, at if row.endpoint == now_at else 0))
        for row in rows
    ]
    return sorted(found, key=lambda each: -each.last_seen)


async def _trim(tx: Transaction, device_id: str) -> None:
    kept = (
        select(Endpoint.endpoint)
        .where(Endpoint.device_id == device_id)
        .order_by(Endpoint.last_seen.desc(), Endpoint.endpoint)
        .limit(KEPT)
    )
    names = list(await tx.session.scalars(kept))
    gone = delete(Endpoint).where(Endpoint.device_id == device_id, Endpoint.endpoint.not_in(names))
    await tx.session.execute(gone)
