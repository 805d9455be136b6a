"""Leases: addresses that a device asked for itself and holds for a time, in the table of all addresses.

A device holds at most one leased address of each family, besides what was administered to it, which a lease
never touches. A lease that ends leaves its address in quarantine for as long as the lease was, at least.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from wirewright.coordinator.clock import DAY, HOUR, SECOND
from wirewright.coordinator.errors import ConflictError, InvalidError, NotFoundError
from wirewright.coordinator.services import addresses, changes, networks
from wirewright.coordinator.storage.bulletin import DEADLINES
from wirewright.coordinator.storage.tables import Address, Device, Gateway, Pool

if TYPE_CHECKING:
    from wirewright.config.values import IPAddress
    from wirewright.coordinator.storage import Transaction
    from wirewright.keys import PublicKey

LEASE: Final = HOUR
"""What wg-dynamic gives unless it is told otherwise."""
LONGEST: Final = 30 * DAY


@dataclass(frozen=True, slots=True)
class Lease:
    """An address and the device that holds it, from ``since`` until ``until`` (µs)."""

    address: IPAddress
    public_key: bytes
    since: int
    until: int


async def grant(
    tx: Transaction,
    gateway_id: str,
    public_key: PublicKey,
    family: int,
    *,
    wanted: IPAddress | None = None,
    lifetime: int = LEASE,
) -> Lease | None:
    """Give a device an address of a family, or prolong the one that it has; ``None`` if none can be had.

    Without ``wanted`` the one it has is prolonged. With another one than it has, that one is released,
    unless the wanted one cannot be had: then nothing changes, and ``None`` is returned. Raises
    `NotFoundError` for a device that the gateway does not have or that is cut off.
    """
    if not SECOND <= lifetime <= LONGEST:
        raise InvalidError("A lease lasts from a second to 30 days.")
    gateway, device = await _locked(tx, gateway_id, public_key)
    held = {pool.family: (row, pool) for row, pool in await _held(tx, device)}
    until = tx.now + lifetime
    tx.touch(DEADLINES)
    if family in held:
        row, _ = held[family]
        if wanted is None or row.value == wanted.packed:
            row.until = until
            return _lease(row, device)
    pools = [pool for pool in await addresses.pools_of(tx, gateway.id) if pool.family == family]
    taken = await _take(tx, pools, device, wanted, until)
    if taken is None:
        return None
    if family in held:
        addresses.quarantine(tx, *held[family])
    await changes.put_device(tx, gateway, device)
    return _lease(taken, device)


async def release(tx: Transaction, gateway_id: str, public_key: PublicKey, family: int) -> None:
    """End a device's lease of a family, if it has one."""
    gateway, device = await _locked(tx, gateway_id, public_key)
    for row, pool in await _held(tx, device):
        if pool.family == family:
            addresses.quarantine(tx, row, pool)
            await changes.put_device(tx, gateway, device)


async def leases(tx: Transaction, gateway_id: str) -> list[Lease]:
    """Return the leases that a gateway's devices hold, which is what a restart restores."""
    rows = await tx.session.execute(
        select(Address, Device)
        .join(Device, Device.id == Address.device_id)
        .where(
            Device.gateway_id == gateway_id,
            Address.kind == "leased",
            Address.state == "held",
            Address.until > tx.now,
        )
        .order_by(Address.value)
    )
    return [_lease(row, device) for row, device in rows]


async def _locked(tx: Transaction, gateway_id: str, public_key: PublicKey) -> tuple[Gateway, Device]:
    gateway = await changes.lock(tx, gateway_id)
    mine = (Device.public_key == bytes(public_key), Device.gateway_id == gateway.id, Device.active)
    device = await tx.session.scalar(select(Device).where(*mine).with_for_update())
    if device is None:
        raise NotFoundError(f"The gateway {gateway.name} has no device with the key {public_key}.")
    return gateway, device


async def _held(tx: Transaction, device: Device) -> list[tuple[Address, Pool]]:
    query = select(Address, Pool).join(Pool, Pool.id == Address.pool_id)
    mine = (Address.device_id == device.id, Address.kind == "leased", Address.state == "held")
    return [(row, pool) for row, pool in await tx.session.execute(query.where(*mine))]


async def _take(
    tx: Transaction, pools: list[Pool], device: Device, wanted: IPAddress | None, until: int
) -> Address | None:
    for pool in pools:
        try:
            if wanted is None:
                return await addresses.hold_any(tx, pool, "leased", device_id=device.id, until=until)
            return await addresses.hold(tx, [pool], wanted, "leased", device_id=device.id, until=until)
        except (ConflictError, InvalidError):
            continue
    return None


def _lease(row: Address, device: Device) -> Lease:
    assert row.until is not None
    return Lease(networks.address(row.value), device.public_key, row.since, row.until)
