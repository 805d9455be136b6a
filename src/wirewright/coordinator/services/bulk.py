"""One thing done to many devices: to all of them, or to none."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from wirewright.coordinator.errors import InvalidError, NotFoundError
from wirewright.coordinator.services import devices
from wirewright.coordinator.services.devices import DeviceChange
from wirewright.coordinator.storage.tables import Device

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wirewright.coordinator.services.access import Caller
    from wirewright.coordinator.storage import Transaction

AT_ONCE: Final = 200


class Action(StrEnum):
    """What is done."""

    ENABLE = "enable"
    DISABLE = "disable"
    EXPIRE = "expire"
    """Move the expiry."""
    REMOVE = "remove"


async def apply(
    tx: Transaction, caller: Caller, ids: Iterable[str], action: Action, expires_at: int | None = None
) -> int:
    """Do it to each device, and return how many there were; if one is refused, none is changed.

    ``expires_at``, in microseconds since 1970, is when they expire if that is moved; ``None`` for never.
    """
    wanted = sorted(set(ids))
    if not 0 < len(wanted) <= AT_ONCE:
        raise InvalidError(f"Choose 1 to {AT_ONCE} devices at once.")
    # Gateways are locked in one order, so that two of these cannot wait for each other.
    query = select(Device.id).where(Device.id.in_(wanted)).order_by(Device.gateway_id, Device.id)
    found = list(await tx.session.scalars(query))
    if len(found) < len(wanted):
        raise NotFoundError("Some of these devices are gone; load the list again. Nothing was changed.")
    for device_id in found:
        if action is Action.REMOVE:
            await devices.delete(tx, caller, device_id)
        else:
            await devices.update(tx, caller, device_id, _change(action, expires_at))
    return len(found)


def _change(action: Action, expires_at: int | None) -> DeviceChange:
    if action is Action.EXPIRE:
        return DeviceChange(expires_at=expires_at, never_expires=expires_at is None)
    return DeviceChange(enabled=action is Action.ENABLE)
