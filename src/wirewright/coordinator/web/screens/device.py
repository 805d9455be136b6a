"""One device: what it is, what its gateway sees of it, and what may be done with it."""

from typing import Annotated

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from wirewright.coordinator.api.dependencies import Store
from wirewright.coordinator.api.enrolments import TunnelParameters
from wirewright.coordinator.api.models import UUID, DeviceAnswer
from wirewright.coordinator.errors import InvalidError
from wirewright.coordinator.services import changes, configurations, devices, endpoints, tunnels, users
from wirewright.coordinator.services.access import Caller, Scope
from wirewright.coordinator.services.devices import DeviceChange
from wirewright.coordinator.storage import Storage, Transaction
from wirewright.coordinator.web import lifetimes, rules
from wirewright.coordinator.web.confirming import Question, ask
from wirewright.coordinator.web.forms import require_sent
from wirewright.coordinator.web.problems import wants_json
from wirewright.coordinator.web.rendering import render
from wirewright.coordinator.web.saying import done
from wirewright.coordinator.web.screens.create import refuse_silent
from wirewright.coordinator.web.visitors import Visiting

router = APIRouter(prefix="/devices/{device}")
Id = Annotated[str, Path(pattern=UUID)]


@router.get("")
async def show(request: Request, store: Store, visitor: Visiting, device: Id) -> Response:
    """Show a device."""
    caller = visitor.caller
    caller.require(Scope.DEVICES_READ)

    async def work(tx: Transaction) -> dict[str, object]:
        details = await devices.get(tx, caller, device)
        row = details.device
        gateway = await changes.found(tx, row.gateway_id)
        return {
            "item": details,
            "now": tx.now,
            "owner": await users.get(tx, row.user_id) if row.user_id else None,
            "gateway": gateway,
            "endpoints": await endpoints.of(tx, device),
            "configuration": configurations.of(row, gateway),
        }

    return render(request, "device.html", lifetimes=lifetimes.CHOICES, **await store.read(work))


@router.get("/configuration")
async def show_configuration(request: Request, store: Store, visitor: Visiting, device: Id) -> Response:
    """Show the current configuration but for the private key, which only the device has."""
    caller = visitor.caller
    caller.require(Scope.DEVICES_READ)

    async def work(tx: Transaction) -> dict[str, object]:
        details = await devices.get(tx, caller, device)
        gateway = await changes.found(tx, details.device.gateway_id)
        parameters = await tunnels.of_device(tx, caller, device)
        return {
            "device": details.device,
            "configuration": configurations.of(details.device, gateway),
            "tunnel": TunnelParameters.of(parameters).model_dump_json(),
        }

    return render(request, "configuration.html", **await store.read(work))


@router.post("/configuration")
async def take_configuration(request: Request, store: Store, visitor: Visiting, device: Id) -> Response:
    """Note that the device has the current configuration."""
    visitor.caller.require(Scope.DEVICES_WRITE)
    await store.write(configurations.take, visitor.caller, device)
    return done(request, f"/devices/{device}", "device-taken")


@router.get("/key")
async def ask_for_key(request: Request, store: Store, visitor: Visiting, device: Id) -> Response:
    """Say what another key means, before one is made."""
    visitor.caller.require(Scope.DEVICES_WRITE)
    details = await store.read(devices.get, visitor.caller, device)
    return render(request, "new_key.html", device=details.device)


@router.post("/key")
async def change_key(
    request: Request,
    store: Store,
    visitor: Visiting,
    device: Id,
    public_key: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    """Give a device the key that was made in the browser."""
    caller = visitor.caller
    caller.require(Scope.DEVICES_WRITE)
    if not public_key.strip():
        raise InvalidError("No key was made. Allow scripts on this page, or give the device's public key.")

    async def work(tx: Transaction) -> dict[str, object]:
        details = await devices.change_key(tx, caller, device, public_key.strip())
        parameters = await tunnels.of_device(tx, caller, device)
        if wants_json(request):
            refuse_silent(parameters)
        return {
            "device": DeviceAnswer.of(details).model_dump(mode="json"),
            "tunnel": TunnelParameters.of(parameters).model_dump(mode="json"),
        }

    changed = await store.write(work)
    return JSONResponse(changed) if wants_json(request) else RedirectResponse(f"/devices/{device}", 303)


@router.get("/remove")
async def ask_to_remove(request: Request, store: Store, visitor: Visiting, device: Id) -> Response:
    """Ask again, and say what will be lost."""
    visitor.caller.require(Scope.DEVICES_WRITE)
    details = await store.read(devices.get, visitor.caller, device)
    held = ", ".join(map(str, details.addresses))
    losses = [
        "its tunnel, at once: whoever uses the device is cut off",
        *([f"its addresses {held}, which nobody gets for an hour"] if held else []),
        "its counters and where it came from",
    ]
    here = f"/devices/{device}"
    question = Question(f"Remove the device {details.device.name}?", losses)
    return ask(request, question, action=f"{here}/remove", back=here)


@router.post("/remove")
async def remove(request: Request, store: Store, visitor: Visiting, device: Id) -> Response:
    """Remove a device."""
    visitor.caller.require(Scope.DEVICES_WRITE)
    await store.write(devices.delete, visitor.caller, device)
    return done(request, "/devices", "device-removed")


@router.post("/enable")
async def enable(request: Request, store: Store, visitor: Visiting, device: Id) -> Response:
    """Let a device in again."""
    return await _change(request, store, visitor.caller, device, DeviceChange(enabled=True), "device-enabled")


@router.post("/disable")
async def disable(request: Request, store: Store, visitor: Visiting, device: Id) -> Response:
    """Cut a device off."""
    return await _change(
        request, store, visitor.caller, device, DeviceChange(enabled=False), "device-disabled"
    )


@router.post("/name")
async def rename(
    request: Request,
    store: Store,
    visitor: Visiting,
    device: Id,
    name: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    """Give a device another name."""
    return await _change(request, store, visitor.caller, device, DeviceChange(name=name), "device-renamed")


@router.post("/policy")
async def change_policy(
    request: Request,
    store: Store,
    visitor: Visiting,
    device: Id,
    policy: Annotated[str, Form(max_length=20_000)] = "",
) -> Response:
    """Change what a device may reach."""
    await require_sent(request, "policy")
    read = rules.from_text(policy)
    change = DeviceChange(policy=rules.usual() if read is None else read)
    return await _change(request, store, visitor.caller, device, change, "device-rules")


@router.post("/expiry")
async def change_expiry(
    request: Request,
    store: Store,
    visitor: Visiting,
    device: Id,
    expires: Annotated[str, Form(max_length=40)] = "",
) -> Response:
    """Move when a device expires."""
    await require_sent(request, "expires")
    caller = visitor.caller
    caller.require(Scope.DEVICES_WRITE)

    if expires == "keep":
        return RedirectResponse(f"/devices/{device}", 303)

    async def work(tx: Transaction) -> None:
        end = lifetimes.ends(expires, tx.now)
        await devices.update(tx, caller, device, DeviceChange(expires_at=end, never_expires=end is None))

    await store.write(work)
    return done(request, f"/devices/{device}", "device-expiry")


async def _change(
    request: Request, store: Storage, caller: Caller, device: str, change: DeviceChange, told: str
) -> Response:
    caller.require(Scope.DEVICES_WRITE)
    await store.write(devices.update, caller, device, change)
    return done(request, f"/devices/{device}", told)
