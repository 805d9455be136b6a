"""What ends by itself: devices that expire, leases that run out, keys that did not come to take a place.

Sans-IO: time is the transaction's, and the next deadline is the answer. The shell that waits is
`wirewright.coordinator.keeping`. Any number of replicas may do it at once: the gateway's lock decides who
does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from wirewright.coordinator.services import addresses, audit, changes, networks, successions
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.storage.tables import Address, Device, Pool, Succession

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Transaction

AT_ONCE: Final = 100
"""Devices, and leases, that one transaction ends."""


async def expire(tx: Transaction) -> int | None:
    """End what is over, `AT_ONCE` at most; return when it is to be called again (µs), if ever."""
    due = await tx.session.execute(
        select(Device.id, Device.gateway_id)
        .where(Device.active, Device.expires_at <= tx.now)
        .order_by(Device.gateway_id, Device.id)
        .limit(AT_ONCE)
    )
    await _end_devices(tx, [(device_id, gateway_id) for device_id, gateway_id in due])
    leases = await tx.session.execute(
        select(Address.id, Pool.gateway_id)
        .join(Pool, Pool.id == Address.pool_id)
        .where(Address.kind == "leased", Address.state == "held", Address.until <= tx.now)
        .order_by(Pool.gateway_id, Address.id)
        .limit(AT_ONCE)
    )
    await _end_leases(tx, [(address_id, gateway_id) for address_id, gateway_id in leases])
    await successions.expire(tx)
    await tx.session.flush()
    return await next_deadline(tx)


async def next_deadline(tx: Transaction) -> int | None:
    """Return when the next device, lease or offered key ends; in the past if some are over."""
    device = await tx.session.scalar(select(func.min(Device.expires_at)).where(Device.active))
    lease = await tx.session.scalar(
        select(func.min(Address.until)).where(Address.kind == "leased", Address.state == "held")
    )
    offer = await tx.session.scalar(select(func.min(Succession.until)))
    return min((moment for moment in (device, lease, offer) if moment is not None), default=None)


async def _end_devices(tx: Transaction, due: list[tuple[str, str]]) -> None:
    for device_id, gateway_id in due:
        gateway = await changes.lock(tx, gateway_id)
        query = select(Device).where(Device.id == device_id).with_for_update()
        device = await tx.session.scalar(query.execution_options(populate_existing=True))
        # Another replica may have been here, or an operator given it more time.
        if device is None or not device.active or device.expires_at is None or device.expires_at > tx.now:
            continue
        device.active = False
        await changes.put_device(tx, gateway, device)
        audit.record(tx, SYSTEM, "device.expire", device.id, name=device.name)


async def _end_leases(tx: Transaction, due: list[tuple[str, str]]) -> None:
    for address_id, gateway_id in due:
        gateway = await changes.lock(tx, gateway_id)
        query = select(Address, Pool).join(Pool, Pool.id == Address.pool_id).where(Address.id == address_id)
        found = (await tx.session.execute(query.execution_options(populate_existing=True))).one_or_none()
        if found is None:
            continue
        row, pool = found
        if row.state != "held" or row.until is None or row.until > tx.now:
            continue
        device = await tx.session.get(Device, row.device_id) if row.device_id else None
        addresses.quarantine(tx, row, pool)
        if device is not None:
            # Its configuration has the address no more; whether it knows of that is unknown.
            device.configuration += 1
            audit.record(tx, SYSTEM, "lease.end", device.id, addresses=[str(networks.address(row.value))])
            await changes.put_device(tx, gateway, device)
