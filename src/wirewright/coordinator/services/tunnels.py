"""What a device's configuration says besides its private key, which only the device has."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wirewright.coordinator.services import addresses, changes, devices, networks

if TYPE_CHECKING:
    from wirewright.config.values import IPAddress, IPNetwork
    from wirewright.coordinator.services.access import Caller
    from wirewright.coordinator.storage import Transaction
    from wirewright.coordinator.storage.tables import Gateway


@dataclass(frozen=True, slots=True)
class Parameters:
    """Addresses, and the gateway as a peer; ``mtu`` in bytes, or the usual one."""

    addresses: tuple[IPAddress, ...]
    gateway_public_key: str | None
    """Absent until the gateway has told its key."""
    endpoint: str
    dns: list[str]
    mtu: int | None
    pools: list[IPNetwork]


async def parameters(tx: Transaction, gateway: Gateway, held: tuple[IPAddress, ...]) -> Parameters:
    """Return the parameters of a device that holds these addresses."""
    pools = await addresses.pools_of(tx, gateway.id)
    return Parameters(
        held,
        b64encode(gateway.public_key).decode() if gateway.public_key else None,
        gateway.endpoint,
        list(gateway.dns),
        gateway.mtu,
        [networks.network(pool.first, pool.prefix_length) for pool in pools],
    )


async def of_device(tx: Transaction, caller: Caller, device_id: str) -> Parameters:
    """Return the parameters of a device that the caller may see."""
    details = await devices.get(tx, caller, device_id)
    gateway = await changes.found(tx, details.device.gateway_id)
    return await parameters(tx, gateway, details.addresses)
