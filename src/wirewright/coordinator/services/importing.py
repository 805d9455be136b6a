"""Devices from another provisioner: their names, public keys and addresses, all of them or none."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from wirewright.coordinator.errors import CoordinatorError, InvalidError
from wirewright.coordinator.services import addresses, devices, gateways, networks
from wirewright.coordinator.services.devices import DeviceChange, NewDevice

if TYPE_CHECKING:
    from wirewright.coordinator.services.access import Caller
    from wirewright.coordinator.storage import Transaction

AT_ONCE: Final = 500
"""Devices of one import."""


class Foreign(BaseModel):
    """A device as another provisioner had it. No private key has a place here."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    public_key: str = Field(min_length=44, max_length=44)
    addresses: list[str] = Field(default=[], max_length=8)
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Brought:
    """How many devices came."""

    devices: int


_LIST: Final = TypeAdapter(list[Foreign])


def read(text: str) -> list[Foreign]:
    """Read what a browser made of a file; raise `InvalidError`."""
    try:
        found = _LIST.validate_json(text)
    except ValidationError:
        raise InvalidError("Choose the file first; then look at what was found in it.") from None
    if not 0 < len(found) <= AT_ONCE:
        raise InvalidError(f"An import has 1 to {AT_ONCE} devices.")
    return found


async def bring(tx: Transaction, caller: Caller, found: list[Foreign], gateway_id: str | None) -> Brought:
    """Make the devices; a refusal names the device, and then none is made."""
    caller.require_others("bring devices along")
    home = await gateways.choose(tx, gateway_id)
    rows = await addresses.pools_of(tx, home)
    pools = [networks.network(pool.first, pool.prefix_length) for pool in rows]
    for each in found:
        try:
            wanted = [ip_address(text) for text in each.addresses]
        except ValueError:
            raise InvalidError(f"{each.name}: an address is none.") from None
        # Where no pool has its address, the device gets the next free ones.
        kept = tuple(address for address in wanted if any(address in network for network in pools))
        new = NewDevice(each.name, each.public_key, home, addresses=kept)
        try:
            made = await devices.create(tx, caller, new)
            # It has that of where it comes from.
            made.device.taken = made.device.taken_at = None
            if not each.enabled:
                await devices.update(tx, caller, made.device.id, DeviceChange(enabled=False))
        except CoordinatorError as error:
            error.args = (f"{each.name}: {error} Nothing was brought along.",)
            raise
    return Brought(len(found))
