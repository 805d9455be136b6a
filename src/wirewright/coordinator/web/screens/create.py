"""Adding a device: the browser makes the key, and shows once what only it knows."""

from ipaddress import ip_address
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import JSONResponse, Response

from wirewright.coordinator.api.dependencies import Store
from wirewright.coordinator.api.enrolments import TunnelParameters
from wirewright.coordinator.api.models import DeviceAnswer
from wirewright.coordinator.errors import ConflictError, InvalidError
from wirewright.coordinator.services import devices, tunnels
from wirewright.coordinator.services.access import Scope
from wirewright.coordinator.services.tunnels import Parameters
from wirewright.coordinator.storage import Transaction
from wirewright.coordinator.web import lifetimes, rules
from wirewright.coordinator.web.choices import gateways_to_choose, user_chosen, users_to_choose
from wirewright.coordinator.web.problems import wants_json
from wirewright.coordinator.web.rendering import render
from wirewright.coordinator.web.saying import done
from wirewright.coordinator.web.visitors import Visiting

router = APIRouter(prefix="/devices")


@router.get("/new")
async def form(
    request: Request, store: Store, visitor: Visiting, name: Annotated[str, Query(max_length=64)] = ""
) -> Response:
    """Show what a device to be is asked for: its name, when it expires, and the rest folded."""
    visitor.caller.require(Scope.DEVICES_WRITE)
    return render(
        request,
        "create.html",
        asked={"name": name, "expires": "", "is_detailed": False},
        lifetimes=lifetimes.CHOICES,
        gateways=await store.read(gateways_to_choose),
        users=await store.read(users_to_choose, visitor.caller),
    )


@router.post("")
async def create(
    request: Request,
    store: Store,
    visitor: Visiting,
    name: Annotated[str, Form(max_length=64)] = "",
    public_key: Annotated[str, Form(max_length=64)] = "",
    expires: Annotated[str, Form(max_length=40)] = "",
    gateway: Annotated[str, Form(max_length=64)] = "",
    user: Annotated[str, Form(max_length=64)] = "",
    addresses: Annotated[str, Form(max_length=400)] = "",
    policy: Annotated[str, Form(max_length=20_000)] = "",
) -> Response:
    """Make a device from a public key; a script of ours gets what its configuration says."""
    caller = visitor.caller
    caller.require(Scope.DEVICES_WRITE)
    if not public_key.strip():
        raise InvalidError("No key was made. Allow scripts on this page, or give the device's public key.")

    async def work(tx: Transaction) -> dict[str, Any]:
        new = devices.NewDevice(
            name,
            public_key.strip(),
            gateway or None,
            await user_chosen(tx, caller, user),
            rules.from_text(policy),
            lifetimes.ends(expires, tx.now),
            _addresses(addresses),
        )
        details = await devices.create(tx, caller, new)
        parameters = await tunnels.of_device(tx, caller, details.device.id)
        if wants_json(request):
            refuse_silent(parameters)
        return {
            "device": DeviceAnswer.of(details).model_dump(mode="json"),
            "tunnel": TunnelParameters.of(parameters).model_dump(mode="json"),
        }

    made = await store.write(work)
    if wants_json(request):
        return JSONResponse(made, 201)
    # The device has its key; what else its configuration says is shown there.
    return done(request, f"/devices/{made['device']['id']}/configuration", "device-added")


def refuse_silent(parameters: Parameters) -> None:
    """Refuse what no configuration can be made of, before a key is made for nothing: nothing is changed."""
    if parameters.gateway_public_key is None:
        raise ConflictError(
            "This gateway has never run, so that its key is unknown. Start it (ww gateway), and repeat this."
        )


def _addresses(text: str) -> tuple[Any, ...]:
    found = []
    for word in text.replace(",", " ").split():
        try:
            found.append(ip_address(word.partition("/")[0]))
        except ValueError:
            raise InvalidError(f"{word[:60]!r} is no address, such as 10.88.0.7.") from None
    return tuple(found)
