"""Devices, over the API."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from wirewright.coordinator import app
from wirewright.coordinator.clock import HOUR
from wirewright.coordinator.errors import ConflictError
from wirewright.coordinator.services import devices, users
from wirewright.coordinator.services.access import SYSTEM, Caller
from wirewright.coordinator.services.devices import IN_ALL, NewDevice
from wirewright.coordinator.serving import Listening, serving
from wirewright.coordinator.storage import Storage

from .actors import Actors, Clock, key

pytestmark = pytest.mark.anyio


async def test_a_new_device_gets_the_next_free_address_of_each_family(api: httpx2.AsyncClient) -> None:
    first = await api.post("/devices", json={"name": "laptop", "public_key": key()})
    second = await api.post("/devices", json={"name": "phone", "public_key": key()})
    assert first.status_code == second.status_code == 201, first.text
    # .1 and ::1 are the gateway's.
    assert first.json()["addresses"] == ["10.88.0.2", "fd88::2"]
    assert second.json()["addresses"] == ["10.88.0.3", "fd88::3"]
    shown = await api.get(f"/devices/{first.json()['id']}")
    assert shown.json() == first.json()


async def test_a_public_key_is_for_one_device(api: httpx2.AsyncClient) -> None:
    body = {"name": "laptop", "public_key": key()}
    assert (await api.post("/devices", json=body)).status_code == 201
    again = await api.post("/devices", json=body)
    assert again.status_code == 409
    assert again.headers["content-type"] == "application/problem+json"
    assert again.json()["type"] == "urn:wirewright:problem:conflict"


async def test_a_member_who_makes_and_removes_devices_does_not_empty_the_pools(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    member = await storage.read(users.authenticate, actors.tokens["member"], "")
    other = await storage.read(users.authenticate, actors.tokens["other"], "")

    async def make(caller: Caller) -> str:
        made = await storage.write(devices.create, caller, NewDevice("x", key(), actors.gateway))
        return made.device.id

    kept = [await make(member) for _ in range(3)]
    for _ in range(IN_ALL - len(kept)):
        await storage.write(devices.delete, member, await make(member))
    with pytest.raises(ConflictError, match="ask later"):
        await make(member)
    # Others may, and so may who answers for all.
    await make(other)
    await make(SYSTEM)
    # What an operator removes for a member counts as well.
    await storage.write(devices.delete, SYSTEM, kept[0])
    with pytest.raises(ConflictError, match="ask later"):
        await make(member)
    clock.now += HOUR
    await make(member)


async def test_the_api_is_served_over_a_socket(storage: Storage, actors: Actors) -> None:
    # The storage's own tasks run already; this application has others over the same database.
    again = Storage(storage.engine, storage.url, storage.clock, storage.bulletin)
    async with serving(app.create(again), Listening(port=0)) as served:
        async with httpx2.AsyncClient(base_url=f"{served.url}/api/v1") as client:
            assert (await client.get("/devices")).status_code == 401
            answers = await asyncio.gather(
                *(
                    client.post(
                        "/devices",
                        json={"name": f"device {number}", "public_key": key()},
                        headers=actors.bearer("operator"),
                    )
                    for number in range(8)
                )
            )
            assert {answer.status_code for answer in answers} == {201}
            assert len({answer.json()["addresses"][0] for answer in answers}) == 8
