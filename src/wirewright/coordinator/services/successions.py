"""Keys that take others' places, as a gateway's server of wg-dynamic vouches for them.

::

    (none) ──offer──▶ pending ──the new key has proven itself──▶ replaced
                         └──time, another offer, or forgotten──▶ (none)

See `wirewright.dynamic.registration`. The device stays the same, with all that it has; only its public key
is another. A key that was replaced, or that waits, is nobody else's: it is refused for a new device, for as
long as its successor is remembered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import exists, or_, select

from wirewright.coordinator.clock import DAY, SECOND
from wirewright.coordinator.errors import ConflictError, InvalidError, NotFoundError
from wirewright.coordinator.services import audit, changes
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.storage.tables import Device, Gateway
from wirewright.coordinator.storage.tables import Succession as Row
from wirewright.dynamic import Succession
from wirewright.keys import PublicKey

if TYPE_CHECKING:
    from wirewright.coordinator.services.access import Caller
    from wirewright.coordinator.storage import Transaction

LONGEST: Final = 7 * DAY
"""For which a key may wait to take another's place."""
EACH: Final = 16
"""Keys of one device that are remembered; a server of ours remembers fewer."""
AT_ONCE: Final = 100
"""Offers that one transaction ends."""


async def of_gateway(tx: Transaction, gateway_id: str, limit: int) -> list[Succession]:
    """Return those of a gateway's devices, in the order in which they were offered."""
    rows = await tx.session.scalars(
        select(Row)
        .join(Device, Device.id == Row.device_id)
        .where(Device.gateway_id == gateway_id, or_(Row.until.is_(None), Row.until > tx.now))
        .order_by(Row.created_at, Row.old_key)
        .limit(limit)
    )
    return [
        Succession(_key(row.old_key), _key(row.new_key), None if row.until is None else row.until // SECOND)
        for row in rows
    ]


async def is_spoken_for(tx: Transaction, key: bytes) -> bool:
    """Say whether a key was replaced by another, or is to replace one."""
    taken = or_(Row.old_key == key, Row.new_key == key)
    return bool(await tx.session.scalar(select(exists().where(taken))))


async def change(
    tx: Transaction,
    gateway: Gateway,
    caller: Caller,
    made: tuple[Succession, ...],
    forgotten: tuple[PublicKey, ...],
) -> list[Device]:
    """Make it true, under the gateway's lock, and return the devices of which it is to be told.

    Raises `NotFoundError`, `ConflictError` or `InvalidError` for what cannot be.
    """
    told = [device for key in forgotten if (device := await _forget(tx, gateway, key)) is not None]
    # The one that proves itself comes before the older ones that are to name it.
    for each in [*made][::-1]:
        if each.until is None:
            told += await _replace(tx, gateway, caller, each)
        else:
            told.append(await _offer(tx, gateway, caller, each, each.until * SECOND))
    return told


async def expire(tx: Transaction) -> None:
    """End the offers whose time is over."""
    due = await tx.session.execute(
        select(Row.old_key, Device.gateway_id)
        .join(Device, Device.id == Row.device_id)
        .where(Row.until <= tx.now)
        .order_by(Device.gateway_id, Row.old_key)
        .limit(AT_ONCE)
    )
    for old_key, gateway_id in due.all():
        gateway = await changes.lock(tx, gateway_id)
        row = await tx.session.get(Row, old_key, populate_existing=True)
        # It may have been used meanwhile, or offered for longer.
        if row is None or row.until is None or row.until > tx.now:
            continue
        device = await tx.session.get(Device, row.device_id, populate_existing=True)
        await tx.session.delete(row)
        if device is not None:
            audit.record(tx, SYSTEM, "device.key.expire", device.id, public_key=str(_key(row.new_key)))
            await changes.put_device(tx, gateway, device)


async def _offer(tx: Transaction, gateway: Gateway, caller: Caller, offer: Succession, until: int) -> Device:
    new, old = bytes(offer.new), bytes(offer.old)
    mine = (Device.public_key == old, Device.gateway_id == gateway.id, Device.active)
    device: Device | None = await tx.session.scalar(select(Device).where(*mine).with_for_update())
    if device is None:
        raise NotFoundError(f"The gateway {gateway.name} has no device with the key {offer.old}.")
    if not tx.now < until <= tx.now + LONGEST:
        raise InvalidError("A key waits for at most 7 days to take another's place.")
    row = await tx.session.get(Row, old, populate_existing=True)
    if row is None or row.new_key != new:
        for table in (Device, Gateway):
            if await tx.session.scalar(select(exists().where(table.public_key == new))):
                raise ConflictError("A device or gateway with this public key exists already.")
        if offer.new.is_low_order or await is_spoken_for(tx, new):
            raise ConflictError("This key was in use before, or waits for its use already.")
        audit.record(tx, caller, "device.key.offer", device.id, public_key=str(offer.new))
    if row is None:
        kept = select(Row.old_key).where(Row.device_id == device.id).limit(EACH)
        if len((await tx.session.scalars(kept)).all()) >= EACH:
            raise ConflictError(f"{device.name} has had {EACH} keys that are still remembered.")
        row = Row(old_key=old, device_id=device.id, created_at=tx.now)
        tx.session.add(row)
    row.new_key, row.until = new, until
    return device


async def _replace(tx: Transaction, gateway: Gateway, caller: Caller, succession: Succession) -> list[Device]:
    """Put a key that was offered into the place of the one before, or have an older one name it."""
    found = await _found(tx, gateway, succession.old)
    if found is None:
        raise NotFoundError(f"No key was to take the place of {succession.old}.")
    row, device = found
    new = bytes(succession.new)
    waits = row.until is not None
    if waits:
        if row.new_key != new or device.public_key != row.old_key:
            raise ConflictError(f"It is not {succession.new} that was to take the place of {succession.old}.")
        device.public_key, device.proved_at, device.updated_at = new, tx.now, tx.now
        # Its configuration is another one, and who replaced the key has it.
        device.configuration += 1
        device.taken, device.taken_at = gateway.configuration + device.configuration, tx.now
        audit.record(
            tx,
            caller,
            "device.key.replace",
            device.id,
            public_key=str(succession.new),
            before=str(succession.old),
        )
    elif device.public_key != new:
        raise ConflictError(f"{succession.new} is not the key of {device.name}.")
    row.new_key, row.until = new, None
    return [device] if waits else []


async def _forget(tx: Transaction, gateway: Gateway, key: PublicKey) -> Device | None:
    """Forget a successor; return the device if it waited for it."""
    found = await _found(tx, gateway, key)
    if found is None:
        return None
    row, device = found
    await tx.session.delete(row)
    return None if row.until is None else device


async def _found(tx: Transaction, gateway: Gateway, old: PublicKey) -> tuple[Row, Device] | None:
    row = await tx.session.get(Row, bytes(old), populate_existing=True)
    device = await tx.session.get(Device, row.device_id, populate_existing=True) if row else None
    if row is None or device is None or device.gateway_id != gateway.id:
        return None
    return row, device


def _key(raw: bytes) -> PublicKey:
    return PublicKey.from_hex(raw.hex())
