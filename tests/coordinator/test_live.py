"""What devices do, as it happens: told to those who show them, at the cost of what changed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from wirewright.coordinator.clock import SECOND
from wirewright.coordinator.errors import TooManyError
from wirewright.coordinator.live import OF_ONE, Hub, Listener
from wirewright.coordinator.services import devices, live, reports, users
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.services.devices import ONLINE, DeviceChange, NewDevice
from wirewright.coordinator.services.reports import DeviceReport
from wirewright.coordinator.storage import Storage

from .actors import Actors, Clock, key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio
PATIENCE = 30


@asynccontextmanager
async def reading(storage: Storage) -> AsyncIterator[Hub]:
    hub = Hub()
    task = asyncio.create_task(hub.run(storage))
    while not storage.bulletin.waiting("live"):  # noqa: ASYNC110 (it is another task's)
        await asyncio.sleep(0.01)
    yield hub
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def heard(listener: Listener) -> dict[str, dict[str, Any]]:
    async with asyncio.timeout(PATIENCE):
        await listener.news.wait()
    return {sight["id"]: sight for sight in listener.take()}


async def add(storage: Storage, name: str = "laptop", user: str | None = None) -> str:
    return (await storage.write(devices.create, SYSTEM, NewDevice(name, key(), user_id=user))).device.id


async def report(storage: Storage, actors: Actors, device: str, received: int, sent: int = 0) -> None:
    now = storage.clock()
    await storage.write(
        reports.record, actors.gateway, [DeviceReport(device, received, sent, now, "192.0.2.1:5")]
    )


async def test_a_report_reaches_those_who_show_the_device_and_no_others(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    shown, other = await add(storage), await add(storage, "other")
    async with reading(storage) as hub:
        with hub.listening(SYSTEM, frozenset({shown})) as listener:
            await report(storage, actors, other, 5)
            clock.now += SECOND
            await report(storage, actors, shown, 1000)
            told = await heard(listener)
            assert list(told) == [shown]
            assert told[shown]["state"] == "online"
            assert (told[shown]["received"], told[shown]["endpoint"]) == (1000, "192.0.2.1:5")


async def test_rates_are_differences_and_a_counter_that_begins_anew_makes_none(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    device = await add(storage)
    async with reading(storage) as hub:
        with hub.listening(SYSTEM, frozenset({device})) as listener:
            for received in (1000, 3000, 10, 40):
                clock.now += 2 * SECOND
                await report(storage, actors, device, received)
                await heard(listener)
        assert [each.received for each in hub.rates(device)] == [1000, 15]


async def test_a_device_goes_offline_by_itself(storage: Storage, actors: Actors, clock: Clock) -> None:
    device = await add(storage)
    async with reading(storage) as hub:
        with hub.listening(SYSTEM, frozenset({device})) as listener:
            await report(storage, actors, device, 1)
            assert (await heard(listener))[device]["state"] == "online"
            clock.now += ONLINE
            # Any news wakes the reader, which would else sleep until then by the clock of the system.
            storage.bulletin.publish("live")
            assert (await heard(listener))[device]["state"] == "idle"


async def test_the_reader_wakes_by_itself_for_a_device_that_somebody_looks_at_since(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    device = await add(storage)
    await report(storage, actors, device, 1)
    async with reading(storage) as hub:
        # The reader sleeps already, and nobody has told it of this handshake.
        clock.now += ONLINE - SECOND // 2
        with hub.listening(SYSTEM, frozenset({device})) as listener:
            (details,) = await storage.read(live.these, [device])
            for _ in range(50):
                assert hub.sight(details, clock.now)["state"] == "online"
            clock.now += SECOND // 2
            assert (await heard(listener))[device]["state"] == "idle"
        # However many looked, it was noted once.
        assert hub.ends == 0


async def test_more_changes_than_are_read_at_once_are_read_at_once_all_the_same(
    storage: Storage, actors: Actors, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "AT_ONCE", 3)
    cursor = await storage.read(live.begin)
    ids = [await add(storage, f"device {number}") for number in range(8)]
    found, has_more = [], True
    while has_more:
        news = await storage.read(live.after, cursor)
        found += [each.device.id for each in news.changed]
        has_more = news.has_more
    assert sorted(found) == sorted(ids)


async def test_disabling_and_removing_are_told(storage: Storage, actors: Actors, clock: Clock) -> None:
    device = await add(storage)
    async with reading(storage) as hub:
        with hub.listening(SYSTEM, frozenset({device})) as listener:
            await storage.write(devices.update, SYSTEM, device, DeviceChange(enabled=False))
            assert (await heard(listener))[device]["state"] == "off"
            await storage.write(devices.delete, SYSTEM, device)
            assert (await heard(listener))[device]["state"] == "gone"


async def test_a_member_hears_of_its_own_devices_only(storage: Storage, actors: Actors, clock: Clock) -> None:
    caller = await storage.read(users.authenticate, actors.tokens["member"], "")
    mine, theirs = await add(storage, user=actors.users["member"]), await add(storage, "theirs")
    async with reading(storage) as hub:
        with hub.listening(caller, frozenset({mine, theirs})) as listener:
            await report(storage, actors, theirs, 1)
            clock.now += SECOND
            await report(storage, actors, mine, 1)
            assert list(await heard(listener)) == [mine]


async def test_who_does_not_keep_up_has_the_newest_of_each_device(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    device = await add(storage)
    async with reading(storage) as hub:
        with hub.listening(SYSTEM, frozenset({device})) as listener:
            for received in (1, 2, 3):
                clock.now += SECOND
                await report(storage, actors, device, received)
                reads = hub.reads
                while hub.reads == reads:  # noqa: ASYNC110 (it is another task's)
                    await asyncio.sleep(0.02)
            assert [sight["received"] for sight in listener.take()] == [3]


async def test_one_user_has_a_bounded_number_of_listeners(storage: Storage) -> None:
    hub = Hub()
    opened = [hub.listening(SYSTEM, frozenset()) for _ in range(OF_ONE)]
    for each in opened:
        each.__enter__()
    with pytest.raises(TooManyError), hub.listening(SYSTEM, frozenset()):
        pass
    opened[0].__exit__(None, None, None)
    with hub.listening(SYSTEM, frozenset()):
        pass


async def test_a_read_is_of_what_changed_and_not_of_what_there_is(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    ids = [await add(storage, f"device {number}") for number in range(20)]
    await storage.write(
        reports.record, actors.gateway, [DeviceReport(each, 1, 1, clock.now, "192.0.2.1:5") for each in ids]
    )
    clock.now += 10 * SECOND
    cursor = await storage.read(live.begin)
    assert (await storage.read(live.after, cursor)).changed == []
    clock.now += SECOND
    await report(storage, actors, ids[7], 9)
    found = await storage.read(live.after, cursor)
    assert [each.device.id for each in found.changed] == [ids[7]]
    # What was read is not read again, though it is looked for with an overlap.
    assert (await storage.read(live.after, cursor)).changed == []
    # A replica whose clock is a second behind is heard as well.
    clock.now -= SECOND
    await report(storage, actors, ids[3], 9)
    clock.now += SECOND
    found = await storage.read(live.after, cursor)
    assert [each.device.id for each in found.changed] == [ids[3]]


async def test_another_process_hears_it_through_the_database(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    if storage.url.is_sqlite:
        # One process has a file of SQLite.
        return
    device = await add(storage)
    other = Storage.open(storage.url.sqlalchemy.render_as_string(hide_password=False), clock=clock)
    async with reading(storage) as hub:
        with hub.listening(SYSTEM, frozenset({device})) as listener:
            await report(other, actors, device, 77)
            assert (await heard(listener))[device]["received"] == 77
    await other.close()
