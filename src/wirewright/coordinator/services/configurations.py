"""Which revision of its configuration a device has: the numbers by which people see that one is behind.

What a configuration says (`wirewright.coordinator.services.tunnels`) is partly the device's (its key, its
addresses) and partly its gateway's (key, endpoint, name servers, MTU, pools). Both count their own changes,
and the revision is the sum: so a change of a gateway costs the same however many devices it has. A new device
begins at 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wirewright.coordinator.services import audit, changes, devices

if TYPE_CHECKING:
    from wirewright.coordinator.services.access import Caller
    from wirewright.coordinator.storage import Transaction
    from wirewright.coordinator.storage.tables import Device, Gateway


@dataclass(frozen=True, slots=True)
class Configuration:
    """The current revision, the one that was last taken (if any), and when."""

    current: int
    taken: int | None
    taken_at: int | None

    @property
    def is_behind(self) -> bool:
        """Whether it was never taken, or has changed since."""
        return self.taken is None or self.taken < self.current


def of(device: Device, gateway: Gateway) -> Configuration:
    """Return a device's revisions."""
    return Configuration(gateway.configuration + device.configuration, device.taken, device.taken_at)


async def take(tx: Transaction, caller: Caller, device_id: str) -> Configuration:
    """Note that a device's configuration was taken as it is now."""
    details = await devices.get(tx, caller, device_id)
    gateway = await changes.found(tx, details.device.gateway_id)
    device = details.device
    before = of(device, gateway)
    taken(tx, device, gateway)
    if before.taken != before.current:
        audit.record(tx, caller, "device.configuration", device.id, name=device.name, revision=before.current)
    return of(device, gateway)


def leased(tx: Transaction, device: Device, gateway: Gateway) -> None:
    """Note that a device got or left addresses that it asks for itself.

    It knows of it: if it had the current configuration, it has this one.
    """
    before = of(device, gateway)
    device.configuration += 1
    if before.taken == before.current:
        taken(tx, device, gateway)


def taken(tx: Transaction, device: Device, gateway: Gateway) -> None:
    """Note that whoever asked for a device got its configuration."""
    device.taken, device.taken_at = gateway.configuration + device.configuration, tx.now
