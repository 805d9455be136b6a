"""Devices: peers of their home gateway, with addresses, a policy, perhaps an expiry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import exists, func, select

from wirewright.coordinator.clock import SECOND
from wirewright.coordinator.errors import ConflictError, InvalidError, NotFoundError
from wirewright.coordinator.identity import new_id
from wirewright.coordinator.services import (
    addresses,
    audit,
    changes,
    gateways,
    networks,
    reports,
    successions,
    texts,
)
from wirewright.coordinator.services.paging import Page, page
from wirewright.coordinator.storage.bulletin import DEADLINES
from wirewright.coordinator.storage.tables import Device, Gateway, Report, User
from wirewright.gateway.policy import DEFAULT_POLICY, Policy, PolicyError

if TYPE_CHECKING:
    from wirewright.config.values import IPAddress
    from wirewright.coordinator.services.access import Caller
    from wirewright.coordinator.storage import Transaction
    from wirewright.keys import PublicKey

OWN: Final = 32
"""Devices that a member may have, at most."""
IN_ALL: Final = 2 * OWN
"""Devices of a member, together with those that were removed and whose addresses nobody else may have yet."""


ONLINE: Final = 180 * SECOND
"""Age of a handshake from which on its keys are worth nothing (``REJECT_AFTER_TIME`` of the protocol)."""


@dataclass(frozen=True, slots=True)
class DeviceDetails:
    """A device, and the addresses that it holds."""

    device: Device
    addresses: tuple[IPAddress, ...]
    report: Report | None
    """What its gateway saw of it last."""
    read_at: int
    """When it was read, in microseconds since 1970."""

    def is_online(self, now: int) -> bool:
        """Whether it is let in, and has keys with its gateway that are worth something."""
        last = None if self.report is None else self.report.latest_handshake
        return self.device.active and last is not None and now - last < ONLINE


@dataclass(frozen=True, slots=True)
class NewDevice:
    """A device to be; times in microseconds since 1970."""

    name: str
    public_key: str
    gateway_id: str | None = None
    user_id: str | None = None
    policy: list[dict[str, object]] | None = None
    expires_at: int | None = None
    addresses: tuple[IPAddress, ...] = ()
    """The ones it is to have; none means one of each family."""
    on_lease: bool = False
    """Whether it asks for its addresses itself, so that none is chosen for it."""


async def create(tx: Transaction, caller: Caller, new: NewDevice) -> DeviceDetails:
    """Make a device as somebody asks for it."""
    if new.policy is not None or new.expires_at is not None or new.addresses:
        caller.require_others("choose a policy, an expiry or addresses")
    if new.user_id not in {None, caller.user_id}:
        caller.require_others("make devices for others")
    user_id = caller.user_id if caller.only_own else new.user_id
    if user_id is not None:
        # Its lock makes the count of its devices right.
        if await tx.session.scalar(select(User.id).where(User.id == user_id).with_for_update()) is None:
            raise NotFoundError(f"There is no user {user_id}.")
        if caller.only_own:
            count = select(func.count()).select_from(Device).where(Device.user_id == user_id)
            have = await tx.session.scalar(count) or 0
            if have >= OWN:
                raise ConflictError(f"A member has at most {OWN} devices; remove one first.")
            if have + await addresses.left_by(tx, user_id) >= IN_ALL:
                raise ConflictError(
                    f"A member takes the addresses of at most {IN_ALL} devices, and those of removed ones "
                    "count until they are free again; ask later."
                )
    gateway = await changes.lock(tx, await gateways.choose(tx, new.gateway_id))
    device = await add(tx, gateway, new, user_id)
    audit.record(
        tx,
        caller,
        "device.create",
        device.id,
        name=device.name,
        public_key=new.public_key,
        gateway=gateway.id,
    )
    return await details(tx, device)


async def add(
    tx: Transaction,
    gateway: Gateway,
    new: NewDevice,
    user_id: str | None,
    invitation_id: str | None = None,
    *,
    proved: bool = False,
) -> Device:
    """Make a device of a gateway whose lock is held, with its addresses, and tell the gateway.

    ``proved`` says that somebody has shown to have the private key.
    """
    key = bytes(texts.public_key(new.public_key))
    await _refuse_taken_key(tx, key)
    if new.expires_at is not None and new.expires_at <= tx.now:
        raise InvalidError("The expiry lies in the past.")
    if new.addresses and new.on_lease:
        raise InvalidError("A device has addresses that are chosen for it, or asks for them itself.")
    device = Device(
        id=new_id(tx.now),
        name=texts.label(new.name, "The name of a device"),
        public_key=key,
        gateway_id=gateway.id,
        user_id=user_id,
        invitation_id=invitation_id,
        policy=checked_policy(new.policy),
        enabled=True,
        expires_at=new.expires_at,
        active=True,
        created_at=tx.now,
        updated_at=tx.now,
        proved_at=tx.now if proved else None,
        # Its first configuration is revision 1, and goes to whoever asked for the device.
        configuration=1 - gateway.configuration,
        taken=1,
        taken_at=tx.now,
    )
    tx.session.add(device)
    await tx.session.flush()
    if new.addresses:
        pools = await addresses.pools_of(tx, gateway.id)
        for wanted in new.addresses:
            await addresses.hold(tx, pools, wanted, "administered", device_id=device.id)
    elif not new.on_lease:
        await addresses.hold_one_of_each_family(tx, gateway.id, "administered", device.id)
    await changes.put_device(tx, gateway, device)
    if device.expires_at is not None:
        tx.touch(DEADLINES)
    return device


async def get(tx: Transaction, caller: Caller, device_id: str) -> DeviceDetails:
    """Return a device that the caller may see, or raise `NotFoundError`."""
    device = await tx.session.get(Device, device_id)
    return await details(tx, _visible(caller, device, device_id))


async def listed(
    tx: Transaction,
    caller: Caller,
    after: str | None,
    limit: int,
    *,
    gateway_id: str | None = None,
    user_id: str | None = None,
    name: str | None = None,
) -> Page[DeviceDetails]:
    """Return devices that the caller may see."""
    query = select(Device)
    if caller.only_own:
        query = query.where(Device.user_id == caller.user_id)
    for column, value in ((Device.gateway_id, gateway_id), (Device.user_id, user_id), (Device.name, name)):
        if value is not None:
            query = query.where(column == value)
    found = await page(tx, query, Device.id, after, limit)
    return Page(await details_of(tx, found.items), found.next)


async def details_of(tx: Transaction, rows: list[Device]) -> list[DeviceDetails]:
    """Return devices with their addresses, in the same order."""
    ids = [device.id for device in rows]
    held, seen = await changes.held_addresses(tx, ids), await reports.of(tx, ids)
    return [_details(device, held.get(device.id, []), seen.get(device.id), tx.now) for device in rows]


@dataclass(frozen=True, slots=True)
class DeviceChange:
    """What is to differ of a device; ``None`` leaves a thing as it is."""

    name: str | None = None
    enabled: bool | None = None
    policy: list[dict[str, object]] | None = None
    expires_at: int | None = None
    never_expires: bool = False


async def update(tx: Transaction, caller: Caller, device_id: str, change: DeviceChange) -> DeviceDetails:
    """Change a device, and tell its gateway."""
    if change.enabled is not None:
        caller.require_others("enable or disable devices")
    if change.policy is not None or change.expires_at is not None or change.never_expires:
        caller.require_others("change a policy or an expiry")
    gateway, device = await _locked(tx, caller, device_id)
    told: dict[str, object] = {}
    if change.name is not None:
        told["name"] = device.name = texts.label(change.name, "The name of a device")
    if change.enabled is not None:
        told["enabled"] = device.enabled = change.enabled
    if change.policy is not None:
        told["policy"] = device.policy = checked_policy(change.policy)
    if change.expires_at is not None or change.never_expires:
        told["expires_at"] = device.expires_at = change.expires_at
        tx.touch(DEADLINES)
    device.active = device.enabled and (device.expires_at is None or device.expires_at > tx.now)
    device.updated_at = tx.now
    if told.keys() - {"name"}:
        await changes.put_device(tx, gateway, device)
    audit.record(tx, caller, "device.update", device.id, **told)
    return await details(tx, device)


async def change_key(tx: Transaction, caller: Caller, device_id: str, public_key: str) -> DeviceDetails:
    """Give a device another key, since the private one was lost, say; the one before is let in no more."""
    gateway, device = await _locked(tx, caller, device_id)
    key = bytes(texts.public_key(public_key))
    if key != device.public_key:
        await _refuse_taken_key(tx, key)
        device.public_key, device.proved_at = key, None
        device.configuration += 1
        device.taken, device.taken_at = gateway.configuration + device.configuration, tx.now
        device.updated_at = tx.now
        await changes.put_device(tx, gateway, device)
        audit.record(tx, caller, "device.key", device.id, name=device.name, public_key=public_key)
    return await details(tx, device)


async def delete(tx: Transaction, caller: Caller, device_id: str) -> None:
    """Remove a device; its addresses go into quarantine."""
    gateway, device = await _locked(tx, caller, device_id)
    await _remove(tx, gateway, device)
    audit.record(tx, caller, "device.delete", device.id, name=device.name)


async def displace(tx: Transaction, caller: Caller, public_key: PublicKey) -> None:
    """Remove a device with a key that nobody has proved to have, for the sake of one who has.

    Whoever makes a device names any public key. So a device that somebody made of another's key is not to
    keep its owner out.
    """
    unproved = select(Device).where(Device.public_key == bytes(public_key), Device.proved_at.is_(None))
    found = await tx.session.scalar(unproved)
    if found is None:
        return
    # Perhaps the second gateway's lock of this transaction: should it stand against another's, the database
    # says so, and all of it is done again.
    gateway = await changes.lock(tx, found.gateway_id)
    device = await tx.session.scalar(unproved.with_for_update().execution_options(populate_existing=True))
    if device is not None and device.gateway_id == gateway.id:
        await _remove(tx, gateway, device)
        audit.record(tx, caller, "device.displace", device.id, name=device.name, public_key=str(public_key))


async def _remove(tx: Transaction, gateway: Gateway, device: Device) -> None:
    # Without the key of its gateway no device has been in a tunnel.
    unused = gateway.public_key is None
    await addresses.release_all(tx, device.id, device.user_id, unused=unused)
    await changes.remove_device(tx, gateway, device)
    await tx.session.flush()
    await tx.session.delete(device)
    await tx.session.flush()


async def details(tx: Transaction, device: Device) -> DeviceDetails:
    """Return a device with its addresses."""
    await tx.session.flush()
    held = await changes.held_addresses(tx, [device.id])
    seen = await reports.of(tx, [device.id])
    return _details(device, held.get(device.id, []), seen.get(device.id), tx.now)


async def _locked(tx: Transaction, caller: Caller, device_id: str) -> tuple[Gateway, Device]:
    """Take the locks of a device's gateway, and then its own."""
    device = _visible(caller, await tx.session.get(Device, device_id), device_id)
    gateway = await changes.lock(tx, device.gateway_id)
    query = select(Device).where(Device.id == device_id).with_for_update()
    again = await tx.session.scalar(query.execution_options(populate_existing=True))
    return gateway, _visible(caller, again, device_id)


async def _refuse_taken_key(tx: Transaction, key: bytes) -> None:
    for table in (Device, Gateway):
        if await tx.session.scalar(select(exists().where(table.public_key == key))):
            raise ConflictError(
                "A device or gateway with this public key exists already; a key is for one device."
            )
    if await successions.is_spoken_for(tx, key):
        raise ConflictError("A device has replaced this public key by another, or is about to use it.")


def _visible(caller: Caller, device: Device | None, device_id: str) -> Device:
    if device is None or (caller.only_own and device.user_id != caller.user_id):
        raise NotFoundError(f"There is no device {device_id}.")
    return device


def _details(device: Device, held: list[bytes], report: Report | None, now: int) -> DeviceDetails:
    return DeviceDetails(device, tuple(networks.address(value) for value in held), report, now)


def checked_policy(rules: list[dict[str, object]] | None) -> list[dict[str, object]]:
    """Return rules as they are kept (the default ones for none), or raise `InvalidError`."""
    try:
        return (DEFAULT_POLICY if rules is None else Policy.from_json(rules)).to_json()
    except PolicyError as error:
        raise InvalidError(f"The policy cannot be: {error}.") from None
