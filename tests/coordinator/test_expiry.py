"""What ends by itself: in virtual time, and once with the wall clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from wirewright.coordinator import app, keeping
from wirewright.coordinator.clock import HOUR, SECOND, wall_clock
from wirewright.coordinator.context import Coordinator
from wirewright.coordinator.errors import CoordinatorError, InvalidError
from wirewright.coordinator.services import audit, changes, devices, expiry
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.services.changes import StoredSource
from wirewright.coordinator.services.devices import DeviceChange, NewDevice
from wirewright.coordinator.storage import Storage
from wirewright.gateway.instructions import PutDevice

from .actors import Actors, Clock, key

if TYPE_CHECKING:
    from wirewright.coordinator.services.devices import DeviceDetails

pytestmark = pytest.mark.anyio


@pytest.fixture
async def storage(address: str, clock: Clock) -> AsyncIterator[Storage]:
    """A storage with nothing beside it that would end things before the test does."""
    opened = Storage.open(address, clock=clock)
    yield opened
    await opened.close()


async def add(storage: Storage, expires_at: int | None = None) -> DeviceDetails:
    return await storage.write(devices.create, SYSTEM, NewDevice("device", key(), expires_at=expires_at))


async def told(storage: Storage, gateway: str) -> set[str]:
    return {device.id for device in (await storage.read(changes.state, gateway)).devices}


async def test_a_device_is_cut_when_its_time_is_over_and_not_before(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    device = (await add(storage, clock.now + HOUR)).device
    assert await storage.write(expiry.expire) == device.expires_at
    clock.now += HOUR - 1
    await storage.write(expiry.expire)
    assert await told(storage, actors.gateway) == {device.id}
    clock.now += 1
    assert await storage.write(expiry.expire) is None
    assert await told(storage, actors.gateway) == set()
    lines = await storage.read(audit.entries, None, 200, action="device.expire")
    assert [line.subject for line in lines.items] == [device.id]
    # A second time there is nothing to do, and nothing is said.
    revision = (await storage.read(changes.state, actors.gateway)).revision
    await storage.write(expiry.expire)
    assert (await storage.read(changes.state, actors.gateway)).revision == revision


async def test_more_time_lets_a_device_in_again(storage: Storage, actors: Actors, clock: Clock) -> None:
    device = (await add(storage, clock.now + HOUR)).device
    clock.now += HOUR
    await storage.write(expiry.expire)
    change = DeviceChange(expires_at=clock.now + HOUR)
    await storage.write(devices.update, SYSTEM, device.id, change)
    assert await told(storage, actors.gateway) == {device.id}


async def test_enabling_does_not_outlive_the_expiry(storage: Storage, actors: Actors, clock: Clock) -> None:
    device = (await add(storage, clock.now + HOUR)).device
    clock.now += HOUR
    await storage.write(expiry.expire)
    await storage.write(devices.update, SYSTEM, device.id, DeviceChange(enabled=True))
    assert await told(storage, actors.gateway) == set()


async def test_an_expiry_in_the_past_is_refused(storage: Storage, actors: Actors, clock: Clock) -> None:
    with pytest.raises(InvalidError, match="past"):
        await add(storage, clock.now)


async def test_more_than_one_transaction_ends_come_at_once(
    storage: Storage, actors: Actors, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "AT_ONCE", 2)
    for _ in range(3):
        await add(storage, clock.now + HOUR)
    clock.now += 2 * HOUR
    deadline = await storage.write(expiry.expire)
    # It is to be called again at once: one is left.
    assert deadline is not None
    assert keeping.pause(deadline, clock.now) == 0
    assert await storage.write(expiry.expire) is None
    assert await told(storage, actors.gateway) == set()


def test_the_pause_is_no_longer_than_until_the_deadline() -> None:
    assert keeping.pause(None, 0) == keeping.LONGEST
    assert keeping.pause(5 * SECOND, 3 * SECOND) == 2
    assert keeping.pause(3 * SECOND, 5 * SECOND) == 0
    assert keeping.pause(HOUR, 0) == keeping.LONGEST


async def test_a_gateway_is_told_of_an_expiry_by_itself(address: str) -> None:
    """With the wall clock, and what runs beside the requests: nobody asks for anything."""
    storage = Storage.open(address)
    async with app.running(Coordinator(storage)):
        actors = await Actors.settle(storage)
        device = (await add(storage, wall_clock() + 2 * SECOND)).device
        state = await storage.read(changes.state, actors.gateway)
        async with aclosing(StoredSource(storage, actors.gateway).follow(state.revision)) as source:
            change = await anext(source)
    assert isinstance(change, PutDevice)
    assert (change.device.id, change.device.enabled) == (device.id, False)
    assert device.expires_at is not None
    assert wall_clock() >= device.expires_at


async def test_what_expires_is_looked_at_again_after_the_database_was_away(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = asyncio.Queue[int]()
    monkeypatch.setattr(keeping, "_AGAIN", 0.01)

    async def failing(_tx: object) -> None:
        calls.put_nowait(1)
        raise CoordinatorError("away")

    monkeypatch.setattr(expiry, "expire", failing)
    coordinator = Coordinator(storage)
    task = asyncio.create_task(keeping.keep(coordinator))
    for _ in range(3):
        await calls.get()
    task.cancel()
    text = await coordinator.metrics.text(storage)
    assert b"wirewright_keeping_failures_total" in text
