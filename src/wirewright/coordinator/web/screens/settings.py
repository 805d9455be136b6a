"""Settings: where the page is found, and devices from elsewhere."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from wirewright.coordinator.api.dependencies import Store
from wirewright.coordinator.services import importing
from wirewright.coordinator.services.access import Scope
from wirewright.coordinator.web.choices import gateways_to_choose
from wirewright.coordinator.web.rendering import render
from wirewright.coordinator.web.saying import done
from wirewright.coordinator.web.visitors import Visiting, root_url

router = APIRouter()


@router.get("/settings")
async def show(request: Request, store: Store, visitor: Visiting) -> Response:
    """Show what the page runs with."""
    visitor.caller.require(Scope.GATEWAYS_WRITE)
    return render(
        request,
        "settings.html",
        root=root_url(request),
        database=str(store.url),
    )


@router.get("/import")
async def form(request: Request, store: Store, visitor: Visiting) -> Response:
    """Show how devices are brought along."""
    visitor.caller.require(Scope.DEVICES_WRITE)
    visitor.caller.require_others("bring devices along")
    return render(request, "import.html", gateways=await store.read(gateways_to_choose))


@router.post("/import")
async def bring(
    request: Request,
    store: Store,
    visitor: Visiting,
    devices: Annotated[str, Form(max_length=250_000)] = "",
    gateway: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    """Make the devices that the browser read from another provisioner's file."""
    visitor.caller.require(Scope.DEVICES_WRITE)
    found = importing.read(devices)
    brought = await store.write(importing.bring, visitor.caller, found, gateway or None)
    return done(request, "/devices", "devices-brought", brought.devices)
