"""``/devices``."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from wirewright.coordinator.api.dependencies import Creating, Pages, Store, needs
from wirewright.coordinator.api.enrolments import TunnelParameters
from wirewright.coordinator.api.models import (
    DeviceAnswer,
    DevicePatch,
    DeviceRequest,
    Id,
    Listed,
    Name,
    instant,
)
from wirewright.coordinator.api.problems import answers
from wirewright.coordinator.services import devices, tunnels
from wirewright.coordinator.services.access import Caller, Scope
from wirewright.coordinator.storage import Transaction

router = APIRouter(prefix="/devices", tags=["devices"])
Reader = Annotated[Caller, needs(Scope.DEVICES_READ)]
Writer = Annotated[Caller, needs(Scope.DEVICES_WRITE)]


@router.get("", responses=answers())
async def list_devices(
    store: Store,
    caller: Reader,
    pages: Pages,
    gateway: Id | None = None,
    user: Id | None = None,
    name: Annotated[Name | None, Query(pattern=r"^[^\x00-\x1f]+$")] = None,
) -> Listed[DeviceAnswer]:
    """List devices; a member's list has its own only."""
    found = await store.read(
        devices.listed, caller, pages.after, pages.limit, gateway_id=gateway, user_id=user, name=name
    )
    return Listed(items=[DeviceAnswer.of(details) for details in found.items], next=found.next)


@router.post("", status_code=201, response_model=DeviceAnswer, responses=answers(404, 409))
async def create_device(caller: Writer, once: Creating, body: DeviceRequest) -> Response:
    """Make a device from a public key; the private key never comes here."""
    new = devices.NewDevice(
        body.name,
        body.public_key,
        body.gateway,
        body.user,
        None if body.policy is None else [rule.model_dump(mode="json") for rule in body.policy],
        instant(body.expires_at),
        tuple(body.addresses),
        body.on_lease,
    )

    async def work(tx: Transaction) -> DeviceAnswer:
        return DeviceAnswer.of(await devices.create(tx, caller, new))

    return await once.create(caller, work)


@router.get("/{device}", responses=answers(404))
async def show_device(store: Store, caller: Reader, device: Id) -> DeviceAnswer:
    """Show a device."""
    return DeviceAnswer.of(await store.read(devices.get, caller, device))


@router.get("/{device}/tunnel", responses=answers(404))
async def show_tunnel(store: Store, caller: Reader, device: Id) -> TunnelParameters:
    """Show what the device's configuration says besides its private key."""
    return TunnelParameters.of(await store.read(tunnels.of_device, caller, device))


@router.patch("/{device}", responses=answers(404))
async def change_device(store: Store, caller: Writer, device: Id, body: DevicePatch) -> DeviceAnswer:
    """Change a device's name, policy or expiry."""
    change = devices.DeviceChange(
        body.name,
        policy=None if body.policy is None else [rule.model_dump(mode="json") for rule in body.policy],
        expires_at=instant(body.expires_at),
        never_expires="expires_at" in body.model_fields_set and body.expires_at is None,
    )
    return DeviceAnswer.of(await store.write(devices.update, caller, device, change))


@router.delete("/{device}", status_code=204, responses=answers(404))
async def remove_device(store: Store, caller: Writer, device: Id) -> None:
    """Remove a device; its addresses go into quarantine."""
    await store.write(devices.delete, caller, device)


@router.post("/{device}/enable", responses=answers(404))
async def enable_device(store: Store, caller: Writer, device: Id) -> DeviceAnswer:
    """Let a device in again."""
    change = devices.DeviceChange(enabled=True)
    return DeviceAnswer.of(await store.write(devices.update, caller, device, change))


@router.post("/{device}/disable", responses=answers(404))
async def disable_device(store: Store, caller: Writer, device: Id) -> DeviceAnswer:
    """Cut a device off; it keeps its addresses."""
    change = devices.DeviceChange(enabled=False)
    return DeviceAnswer.of(await store.write(devices.update, caller, device, change))
