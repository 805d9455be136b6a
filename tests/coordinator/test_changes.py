"""What gateways are told: in order, without a gap, and across replicas."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from wirewright.coordinator.errors import UnauthorizedError
from wirewright.coordinator.services import changes, devices, gateways
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.services.changes import StoredSource
from wirewright.coordinator.services.devices import DeviceChange, NewDevice
from wirewright.coordinator.storage import Storage
from wirewright.gateway.instructions import (
    GatewayState,
    Instruction,
    PutDevice,
    RemoveDevice,
    instruction_from_json,
    instruction_to_json,
)

from .actors import Actors, key
from .served import served

if TYPE_CHECKING:
    from .actors import Clock

pytestmark = pytest.mark.anyio


async def add(storage: Storage, name: str = "device") -> str:
    return (await storage.write(devices.create, SYSTEM, NewDevice(name, key()))).device.id


class Follower:
    """A gateway that applies what it is told."""

    def __init__(self) -> None:
        self.revision: int | None = None
        self.devices: dict[str, Any] = {}
        self.states = 0

    def apply(self, told: Instruction) -> None:
        match told:
            case GatewayState():
                self.devices = {device.id: device for device in told.devices}
                self.states += 1
            case PutDevice(_, device) if device.enabled:
                self.devices[device.id] = device
            case PutDevice(_, device):
                self.devices.pop(device.id, None)
            case RemoveDevice():
                self.devices.pop(told.device_id, None)
        if self.revision is not None and not isinstance(told, GatewayState):
            assert told.revision == self.revision + 1, "a revision is missing"
        self.revision = told.revision


async def test_changes_lead_to_the_same_as_a_new_state(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    follower = Follower()
    async with aclosing(StoredSource(storage, actors.gateway).follow()) as told:
        follower.apply(await anext(told))
        first, second, third = [await add(storage) for _ in range(3)]
        await storage.write(devices.update, SYSTEM, first, DeviceChange(enabled=False))
        await storage.write(devices.delete, SYSTEM, second)
        await storage.write(devices.update, SYSTEM, third, DeviceChange(policy=[]))
        whole = await storage.read(changes.state, actors.gateway)
        while follower.revision != whole.revision:
            follower.apply(await anext(told))
    assert follower.states == 1
    assert set(follower.devices) == {third}
    assert list(follower.devices.values()) == list(whole.devices)


async def test_who_comes_back_is_told_what_it_missed_and_no_more(storage: Storage, actors: Actors) -> None:
    first = await storage.read(changes.state, actors.gateway)
    added = [await add(storage) for _ in range(3)]
    async with aclosing(StoredSource(storage, actors.gateway).follow(first.revision + 1)) as told:
        missed = [await anext(told) for _ in range(2)]
    assert [change.revision for change in missed] == [first.revision + 2, first.revision + 3]
    assert [change.device.id for change in missed if isinstance(change, PutDevice)] == added[1:]


@pytest.mark.parametrize("behind", [True, False], ids=["too far behind", "ahead of a database put back"])
async def test_who_cannot_be_told_changes_is_told_all(
    storage: Storage, actors: Actors, monkeypatch: pytest.MonkeyPatch, behind: bool
) -> None:
    monkeypatch.setattr(changes, "KEPT", 2)
    for _ in range(5):
        await add(storage)
    newest = (await storage.read(changes.state, actors.gateway)).revision
    asked = newest - 3 if behind else newest + 1
    async with aclosing(StoredSource(storage, actors.gateway).follow(asked)) as told:
        state = await anext(told)
    assert isinstance(state, GatewayState)
    assert len(state.devices) == 5
    # What is kept is enough for who is less far behind.
    async with aclosing(StoredSource(storage, actors.gateway).follow(newest - 2)) as told:
        assert isinstance(await anext(told), PutDevice)


async def test_a_gateway_knows_when_a_device_expires(storage: Storage, actors: Actors, clock: Clock) -> None:
    device = await add(storage)
    await storage.write(devices.update, SYSTEM, device, DeviceChange(expires_at=clock.now + 5))
    (told,) = (await storage.read(changes.state, actors.gateway)).devices
    assert told.expires == clock.now + 5
    async with aclosing(StoredSource(storage, actors.gateway).follow(0)) as source:
        while not (isinstance(change := await anext(source), PutDevice) and change.device.expires):
            pass
    assert change.device.expires == clock.now + 5


async def test_many_at_once_leave_no_gap(storage: Storage, actors: Actors) -> None:
    before = (await storage.read(changes.state, actors.gateway)).revision
    await asyncio.gather(*(add(storage) for _ in range(20)))

    follower = Follower()
    follower.revision = before
    async with aclosing(StoredSource(storage, actors.gateway).follow(before)) as told:
        for _ in range(20):
            follower.apply(await anext(told))
    assert len(follower.devices) == 20


async def test_a_replica_hears_what_another_one_wrote(address: str, storage: Storage, actors: Actors) -> None:
    """Of PostgreSQL, whose replicas share no memory; on SQLite there is one process, and one bulletin."""
    other = Storage.open(address) if not storage.url.is_sqlite else storage
    async with aclosing(StoredSource(storage, actors.gateway).follow()) as told:
        await anext(told)
        coming = asyncio.ensure_future(anext(told))
        while not storage.bulletin.waiting(changes.topic(actors.gateway)):  # noqa: ASYNC110 (nothing tells it)
            await asyncio.sleep(0)
        added = await add(other)
        change = await coming
    assert isinstance(change, PutDevice)
    assert change.device.id == added
    if other is not storage:
        await other.close()


@asynccontextmanager
async def streamed(client: httpx2.AsyncClient, **headers: str) -> AsyncIterator[AsyncIterator[Instruction]]:
    """The instructions of a stream, read as a client of server-sent events reads them."""

    async def read(answer: httpx2.Response) -> AsyncIterator[Instruction]:
        fields: dict[str, str] = {}
        async for line in answer.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                told = instruction_from_json(fields["event"], json.loads(fields["data"]))
                assert fields["id"] == str(told.revision)
                yield told
                fields = {}

    async with client.stream("GET", "/gateways/self/stream", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield read(answer)


async def test_a_gateway_follows_over_http(storage: Storage, actors: Actors) -> None:
    bearer = {"Authorization": f"Bearer {actors.credential}"}
    async with served(storage) as url, httpx2.AsyncClient(base_url=url, headers=bearer) as client:
        async with streamed(client) as told:
            state = await anext(told)
            assert isinstance(state, GatewayState)
            assert [str(address) for address in state.settings.addresses] == ["10.88.0.1/16", "fd88::1/64"]
            added = await add(storage)
            put = await anext(told)
            assert isinstance(put, PutDevice)
            assert put.device.id == added
            assert [str(network) for network in put.device.addresses] == ["10.88.0.2/32", "fd88::2/128"]
            await storage.write(devices.delete, SYSTEM, added)
            assert isinstance(await anext(told), RemoveDevice)
        # As a browser, or any client of such streams, comes back.
        async with streamed(client, **{"Last-Event-ID": str(put.revision)}) as told:
            assert isinstance(await anext(told), RemoveDevice)


async def test_a_new_credential_ends_the_stream_of_the_old_one(storage: Storage, actors: Actors) -> None:
    bearer = {"Authorization": f"Bearer {actors.credential}"}
    async with served(storage) as url, httpx2.AsyncClient(base_url=url, headers=bearer) as client:
        async with streamed(client) as told:
            await anext(told)
            await storage.write(gateways.renew_credential, SYSTEM, actors.gateway)
            assert [instruction async for instruction in told] == []
        assert (await client.get("/gateways/self")).status_code == 401


async def test_a_third_stream_ends_the_oldest(storage: Storage, actors: Actors) -> None:
    """So that a gateway whose network was lost is not kept out by its own dead streams."""
    bearer = {"Authorization": f"Bearer {actors.credential}"}
    async with served(storage) as url, httpx2.AsyncClient(base_url=url, headers=bearer) as client:
        async with streamed(client) as first, streamed(client) as second:
            await anext(first)
            await anext(second)
            async with streamed(client) as third:
                await anext(third)
                assert [instruction async for instruction in first] == []
                await add(storage)
                assert isinstance(await anext(second), PutDevice)
                assert isinstance(await anext(third), PutDevice)


async def test_a_server_that_ends_ends_its_streams(storage: Storage, actors: Actors) -> None:
    bearer = {"Authorization": f"Bearer {actors.credential}"}
    async with httpx2.AsyncClient(headers=bearer) as client:
        async with served(storage) as url:
            client.base_url = httpx2.URL(f"{url}/")
            stream = await client.send(client.build_request("GET", "gateways/self/stream"), stream=True)
            lines = stream.aiter_lines()
            await anext(lines)
        # It was closed with the server, which did not wait for its grace to be over.
        assert [line async for line in lines if line.startswith("event")] in ([], ["event: state"])
        await stream.aclose()


async def test_a_replaced_credential_is_seen_before_anything_is_told(
    storage: Storage, actors: Actors
) -> None:
    told = StoredSource(storage, actors.gateway, b"another").follow()
    with pytest.raises(UnauthorizedError):
        await anext(told)


async def test_instructions_survive_json(storage: Storage, actors: Actors) -> None:
    await add(storage)
    state = await storage.read(changes.state, actors.gateway)
    told: list[Instruction] = [state]
    async with aclosing(StoredSource(storage, actors.gateway).follow(0)) as source:
        told += [await anext(source) for _ in range(state.revision)]
    kinds = set()
    for instruction in told:
        name, value = instruction_to_json(instruction)
        kinds.add(name)
        assert instruction_from_json(name, json.loads(json.dumps(value))) == instruction
    assert kinds == {"state", "put", "settings"}
