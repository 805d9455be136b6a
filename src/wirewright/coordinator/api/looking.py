"""Devices as people look for them, many at once, and as they are right now."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from wirewright.coordinator.api.dependencies import (
    Bearer,
    Creating,
    Store,
    needs,
    origin,
    the_coordinator,
)
from wirewright.coordinator.api.models import (
    Asked,
    DeviceAnswer,
    Handle,
    Id,
    Moment,
    PublicKeyText,
    instant,
    moment,
)
from wirewright.coordinator.api.problems import answers
from wirewright.coordinator.clock import to_datetime
from wirewright.coordinator.errors import InvalidError
from wirewright.coordinator.live import SHOWN
from wirewright.coordinator.services import (
    bulk,
    changes,
    configurations,
    devices,
    endpoints,
    importing,
    searching,
    users,
)
from wirewright.coordinator.services.access import Caller, Scope
from wirewright.coordinator.services.bulk import Action
from wirewright.coordinator.services.configurations import Configuration
from wirewright.coordinator.services.importing import Foreign
from wirewright.coordinator.services.paging import LIMIT
from wirewright.coordinator.services.searching import Search, Sort, State
from wirewright.coordinator.storage import Transaction
from wirewright.coordinator.streaming import Following

router = APIRouter(prefix="/devices", tags=["devices"])
Reader = Annotated[Caller, needs(Scope.DEVICES_READ)]
Writer = Annotated[Caller, needs(Scope.DEVICES_WRITE)]
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "What they do"}
}


class SearchAnswer(BaseModel):
    """A page of devices; ``total`` are like this, ``everything`` is how many there are.

    ``online`` are those that the search would find, whatever state it asks for, and that are online now.
    """

    items: list[DeviceAnswer]
    page: int
    total: int
    everything: int
    online: int


@router.get("/search", responses=answers())
async def search_devices(
    store: Store,
    caller: Reader,
    q: Annotated[str, Query(max_length=searching.TEXT, pattern=r"^[^\x00-\x1f]*$")] = "",
    state: State | None = None,
    sort: Sort = Sort.NAME,
    descending: bool = False,
    page: Annotated[int, Query(ge=1, le=searching.PAGES)] = 1,
    size: Annotated[int, Query(ge=1, le=LIMIT)] = searching.SIZE,
    gateway: Id | None = None,
    user: Id | None = None,
) -> SearchAnswer:
    """Find devices by a part of a name or user, an address or network, or the beginning of a public key."""
    asked = Search(q, state, sort, descending, page, size, gateway_id=gateway, user_id=user)
    found = await store.read(searching.search, caller, asked)
    items = [DeviceAnswer.of(details) for details in found.items]
    return SearchAnswer(
        items=items,
        page=page,
        total=found.total,
        everything=found.everything,
        online=found.counts.by_state[State.ONLINE],
    )


class BulkRequest(Asked):
    """One thing to be done to many devices; to ``expire`` takes ``expires_at``, where null means never."""

    devices: Annotated[list[Id], Field(min_length=1, max_length=bulk.AT_ONCE)]
    action: Action
    expires_at: Moment | None = None


class BulkAnswer(BaseModel):
    """How many devices it was done to."""

    devices: int


@router.post("/bulk", responses=answers(404))
async def change_devices(store: Store, caller: Writer, body: BulkRequest) -> BulkAnswer:
    """Enable, disable or remove devices, or move when they expire: all of them, or none."""
    if ("expires_at" in body.model_fields_set) != (body.action is Action.EXPIRE):
        raise InvalidError("`expires_at` goes with the action `expire`, and with no other.")
    ends = instant(body.expires_at)
    return BulkAnswer(devices=await store.write(bulk.apply, caller, body.devices, body.action, ends))


class ImportRequest(Asked):
    """Devices of another provisioner, without any private key."""

    devices: Annotated[list[Foreign], Field(min_length=1, max_length=importing.AT_ONCE)]
    gateway: Handle | None = None


@router.post("/import", status_code=201, response_model=BulkAnswer, responses=answers(404, 409))
async def import_devices(caller: Writer, once: Creating, body: ImportRequest) -> Response:
    """Make the devices that another provisioner had: all of them, or none."""

    async def work(tx: Transaction) -> BulkAnswer:
        brought = await importing.bring(tx, caller, body.devices, body.gateway)
        return BulkAnswer(devices=brought.devices)

    return await once.create(caller, work)


@router.get("/live", response_class=StreamingResponse, responses=answers(429) | _STREAM)
async def follow_devices(
    request: Request,
    store: Store,
    caller: Reader,
    text: Bearer,
    device: Annotated[list[Id], Query(min_length=1, max_length=SHOWN)],
) -> StreamingResponse:
    """Stream what some devices do, as server-sent events ``device``."""

    async def still() -> Caller:
        return await store.read(users.authenticate, text, origin(request))

    return Following(the_coordinator(request), caller, frozenset(device), still)


class EndpointAnswer(BaseModel):
    """Where a device came from."""

    endpoint: str
    first_seen: datetime
    last_seen: datetime


class EndpointsAnswer(BaseModel):
    """The last endpoints of a device, the newest first."""

    items: list[EndpointAnswer]


@router.get("/{device}/endpoints", responses=answers(404))
async def list_endpoints(store: Store, caller: Reader, device: Id) -> EndpointsAnswer:
    """List where a device came from."""

    async def work(tx: Transaction) -> list[endpoints.Seen]:
        await devices.get(tx, caller, device)
        return await endpoints.of(tx, device)

    items = [
        EndpointAnswer(
            endpoint=seen.endpoint,
            first_seen=to_datetime(seen.first_seen),
            last_seen=to_datetime(seen.last_seen),
        )
        for seen in await store.read(work)
    ]
    return EndpointsAnswer(items=items)


class ConfigurationAnswer(BaseModel):
    """The current revision of a device's configuration, and the one that was taken last."""

    current: int
    taken: int | None
    taken_at: datetime | None

    @classmethod
    def of(cls, found: Configuration) -> "ConfigurationAnswer":
        """Return it as it is shown."""
        return cls(current=found.current, taken=found.taken, taken_at=moment(found.taken_at))


@router.get("/{device}/configuration", responses=answers(404))
async def show_configuration(store: Store, caller: Reader, device: Id) -> ConfigurationAnswer:
    """Show whether a device has its current configuration."""

    async def work(tx: Transaction) -> Configuration:
        details = await devices.get(tx, caller, device)
        return configurations.of(details.device, await changes.found(tx, details.device.gateway_id))

    return ConfigurationAnswer.of(await store.read(work))


@router.post("/{device}/configuration/taken", responses=answers(404))
async def take_configuration(store: Store, caller: Writer, device: Id) -> ConfigurationAnswer:
    """Say that a device has its current configuration."""
    return ConfigurationAnswer.of(await store.write(configurations.take, caller, device))


class KeyRequest(Asked):
    """Another public key; the private one stays where it was made."""

    public_key: PublicKeyText


@router.put("/{device}/key", responses=answers(404, 409))
async def change_key(store: Store, caller: Writer, device: Id, body: KeyRequest) -> DeviceAnswer:
    """Give a device another key; the one before is let in no more."""
    return DeviceAnswer.of(await store.write(devices.change_key, caller, device, body.public_key))
