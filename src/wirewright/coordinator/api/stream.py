"""``/gateways/self``: what a gateway is told, as server-sent events, and what it reports."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, StringConstraints

from wirewright.coordinator.api.dependencies import Store, TheGateway, the_coordinator
from wirewright.coordinator.api.models import Asked, GatewayAnswer, Id, Moment, PublicKeyText, instant
from wirewright.coordinator.api.problems import answers
from wirewright.coordinator.context import Coordinator
from wirewright.coordinator.errors import CoordinatorError
from wirewright.coordinator.services import gateways, reports
from wirewright.coordinator.services.changes import StoredSource
from wirewright.coordinator.storage import tables
from wirewright.gateway.instructions import Instruction, instruction_to_json

router = APIRouter(prefix="/gateways/self", tags=["gateway"])

KEEPALIVE: Final = 10.0
"""Seconds of silence after which a comment is sent, so that both sides see a dead connection."""

_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Instructions"}
}
Revision = Annotated[int, Field(ge=0, le=2**63 - 1)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]


@router.get("", responses=answers())
async def show_self(gateway: TheGateway) -> GatewayAnswer:
    """Show the gateway that asks."""
    return GatewayAnswer.of(gateway)


class KeyRequest(Asked):
    """The public key of a gateway; the private one stays where it is."""

    public_key: PublicKeyText


@router.put("/key", responses=answers(409))
async def tell_key(store: Store, gateway: TheGateway, body: KeyRequest) -> GatewayAnswer:
    """Tell devices the key of the gateway that asks."""
    return GatewayAnswer.of(await store.write(gateways.tell_key, gateway.id, body.public_key))


@router.get("/stream", response_class=StreamingResponse, responses=answers() | _STREAM)
async def stream(
    request: Request,
    gateway: TheGateway,
    after: Annotated[Revision | None, Query(description="The last revision that was seen.")] = None,
    log: Annotated[
        str | None, Query(max_length=64, description="The `log` of the state that this revision followed.")
    ] = None,
    last_event_id: Annotated[
        str | None, Header(description="As `after`, which a client of server-sent events sends by itself.")
    ] = None,
) -> StreamingResponse:
    """Stream what the gateway is to be: a state where one is needed, then each change by its revision."""
    if after is None and last_event_id is not None and last_event_id.isascii() and last_event_id.isdigit():
        after = min(int(last_event_id[:19]), 2**63 - 1)
    events = _events(the_coordinator(request), gateway, after, log)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def _events(
    coordinator: Coordinator, gateway: tables.Gateway, after: int | None, log: str | None
) -> AsyncIterator[bytes]:
    source = StoredSource(coordinator.storage, gateway.id, gateway.credential_hash)
    with coordinator.streams.opened(gateway.id) as ending:
        instructions = source.follow(after, log)
        stopped = asyncio.ensure_future(ending.wait())
        coming: asyncio.Future[Instruction] | None = None
        try:
            while True:
                coming = coming or asyncio.ensure_future(anext(instructions))
                waited: set[asyncio.Future[Any]] = {coming, stopped}
                await asyncio.wait(waited, timeout=KEEPALIVE, return_when=asyncio.FIRST_COMPLETED)
                if coming.done():
                    yield _event(coming.result())
                    coming = None
                elif stopped.done():
                    return
                else:
                    yield b": still here\n\n"
        except (CoordinatorError, StopAsyncIteration):
            # Gateway, credential or database is no more: the client asks again, and is told.
            return
        finally:
            stopped.cancel()
            if coming is not None:
                coming.cancel()
                await asyncio.wait({coming})
            await instructions.aclose()


def _event(instruction: Instruction) -> bytes:
    name, value = instruction_to_json(instruction)
    data = json.dumps(value, separators=(",", ":"))
    return f"id: {instruction.revision}\nevent: {name}\ndata: {data}\n\n".encode()


class DeviceReported(Asked):
    """A device as its gateway sees it: bytes of datagrams since the interface is up, handshake, endpoint."""

    id: Id
    received: Count
    sent: Count
    latest_handshake: Moment | None = None
    endpoint: Annotated[str, StringConstraints(max_length=64, pattern=r"^[0-9a-fA-F.:%\[\]]*$")] | None = None


class ReportRequest(Asked):
    """What changed since the last report; the revision is the newest that was applied."""

    devices: Annotated[list[DeviceReported], Field(max_length=reports.AT_ONCE)]


class ReportAnswer(BaseModel):
    """How many of the devices are the gateway's."""

    known: int


@router.post("/report", responses=answers())
async def report(store: Store, gateway: TheGateway, body: ReportRequest) -> ReportAnswer:
    """Report counters, handshakes and endpoints."""
    found = [
        reports.DeviceReport(
            device.id, device.received, device.sent, instant(device.latest_handshake), device.endpoint
        )
        for device in body.devices
    ]
    return ReportAnswer(known=await store.write(reports.record, gateway.id, found))
