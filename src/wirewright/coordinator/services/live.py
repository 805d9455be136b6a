"""What changed of devices since somebody looked: reports that came, and what gateways were told.

It costs what changed, and not what there is: reports are found by their time, changes by their revisions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from wirewright.coordinator.clock import SECOND
from wirewright.coordinator.services import devices
from wirewright.coordinator.storage.tables import Change, Device, Gateway, Report

if TYPE_CHECKING:
    from wirewright.coordinator.services.devices import DeviceDetails
    from wirewright.coordinator.storage import Transaction

AT_ONCE: Final = 1000
"""Devices that are read at once."""
_OVERLAP: Final = 2 * SECOND
"""For which reports are read again: another replica's clock may be behind, or its transaction slow."""


@dataclass(slots=True)
class Cursor:
    """How far somebody has read."""

    at: int = 0
    revisions: dict[str, int] = field(default_factory=dict)
    """By gateway."""
    recent: dict[str, int] = field(default_factory=dict)
    """The time of reports that were read and may be found again, by device."""


@dataclass(frozen=True, slots=True)
class News:
    """Devices that changed, and identifiers of those that are no more."""

    changed: list[DeviceDetails]
    gone: list[str]
    has_more: bool


async def begin(tx: Transaction) -> Cursor:
    """Return where who looks now begins."""
    rows = await tx.session.execute(select(Gateway.id, Gateway.revision))
    return Cursor(tx.now, {row.id: row.revision for row in rows})


async def after(tx: Transaction, cursor: Cursor) -> News:
    """Return what is new, at most `AT_ONCE` of each kind, and move the cursor behind it."""
    ids, gone, more_told = await _told(tx, cursor)
    reported, more_reported = await _reported(tx, cursor)
    wanted = [*dict.fromkeys([*ids, *reported])]
    rows = list(await tx.session.scalars(select(Device).where(Device.id.in_(wanted)))) if wanted else []
    known = {row.id for row in rows}
    changed = await devices.details_of(tx, rows) if rows else []
    return News(changed, [each for each in gone if each not in known], more_told or more_reported)


async def _told(tx: Transaction, cursor: Cursor) -> tuple[list[str], list[str], bool]:
    """Return devices that gateways were told of, those to forget, and whether there are more."""
    ids: list[str] = []
    gone: list[str] = []
    has_more = False
    for gateway_id, revision in await tx.session.execute(select(Gateway.id, Gateway.revision)):
        known = cursor.revisions.get(gateway_id, 0)
        if revision == known:
            continue
        rows = list(
            await tx.session.scalars(
                select(Change)
                .where(Change.gateway_id == gateway_id, Change.revision > known)
                .order_by(Change.revision)
                .limit(AT_ONCE)
            )
        )
        has_more = has_more or len(rows) == AT_ONCE
        for change in rows:
            known = change.revision
            if change.name == "put":
                ids.append(change.value["device"]["id"])
            elif change.name == "remove":
                gone.append(change.value["id"])
        # A database that was put back has smaller ones.
        cursor.revisions[gateway_id] = known if known <= revision else revision
    return ids, gone, has_more


async def _reported(tx: Transaction, cursor: Cursor) -> tuple[list[str], bool]:
    since = cursor.at - _OVERLAP
    rows = (
        await tx.session.execute(
            select(Report.device_id, Report.at)
            .where(Report.at > since)
            .order_by(Report.at, Report.device_id)
            .limit(AT_ONCE + len(cursor.recent))
        )
    ).all()
    fresh = [row for row in rows if cursor.recent.get(row.device_id) != row.at]
    cursor.recent |= {row.device_id: row.at for row in fresh}
    if rows:
        cursor.at = max(cursor.at, min(rows[-1].at, tx.now))
    cursor.recent = {key: at for key, at in cursor.recent.items() if at > cursor.at - _OVERLAP}
    return [row.device_id for row in fresh], len(fresh) >= AT_ONCE


async def these(tx: Transaction, ids: list[str]) -> list[DeviceDetails]:
    """Return devices by their identifiers, those that there are."""
    rows = list(await tx.session.scalars(select(Device).where(Device.id.in_(ids))))
    return await devices.details_of(tx, rows)
