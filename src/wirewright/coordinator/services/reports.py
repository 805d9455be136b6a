"""What gateways report of their devices: bytes, the latest handshake, the endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite

from wirewright.coordinator.services import endpoints
from wirewright.coordinator.storage.bulletin import LIVE
from wirewright.coordinator.storage.tables import Device, Gateway, Report

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Transaction

AT_ONCE: Final = 1000
"""Devices of one report, at most."""


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """A device as its gateway sees it: bytes of datagrams, the latest handshake (µs), the endpoint."""

    device_id: str
    received: int
    sent: int
    latest_handshake: int | None
    endpoint: str | None


async def record(tx: Transaction, gateway_id: str, reports: list[DeviceReport]) -> int:
    """Keep the newest of each device; return how many were the gateway's (others are passed over)."""
    await tx.session.execute(update(Gateway).where(Gateway.id == gateway_id).values(seen_at=tx.now))
    by_id = {report.device_id: report for report in reports}
    known = await tx.session.scalars(
        select(Device.id).where(Device.gateway_id == gateway_id, Device.id.in_(by_id)).order_by(Device.id)
    )
    # In one order, so that two reports at once cannot wait for each other.
    rows = [
        {
            "device_id": device_id,
            "received": by_id[device_id].received,
            "sent": by_id[device_id].sent,
            "latest_handshake": by_id[device_id].latest_handshake,
            "endpoint": by_id[device_id].endpoint or "",
            "at": tx.now,
        }
        for device_id in known
    ]
    if rows:
        await endpoints.note(tx, {str(row["device_id"]): str(row["endpoint"]) for row in rows})
        insert = (postgresql.insert if tx.dialect == "postgresql" else sqlite.insert)(Report)
        newer = {name: insert.excluded[name] for name in rows[0] if name != "device_id"}
        await tx.session.execute(insert.on_conflict_do_update(index_elements=["device_id"], set_=newer), rows)
        tx.touch(LIVE)
    return len(rows)


async def of(tx: Transaction, device_ids: list[str]) -> dict[str, Report]:
    """Return what is known of devices."""
    rows = await tx.session.scalars(select(Report).where(Report.device_id.in_(device_ids)))
    return {row.device_id: row for row in rows}
