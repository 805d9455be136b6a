"""A gateway at work, with an engine and a coordinator of the tests': both fail and come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from wirewright.gateway import driving, watching
from wirewright.gateway.engine import Observed, UnfitError
from wirewright.gateway.instructions import Device
from wirewright.gateway.members import EngineChange, Member
from wirewright.gateway.running import RunningGateway, running

from .fakes import FakeEngine, FakeSource, until
from .models import SETTINGS, key, single

if TYPE_CHECKING:
    from wirewright.gateway.engine import GatewayEngine, Told
    from wirewright.gateway.reporting import DeviceReport

pytestmark = pytest.mark.anyio


def device(number: int, **more: Any) -> Device:
    return replace(Device(f"number-{number}", key(number), (single(number),)), **more)


def member(number: int) -> Member:
    each = device(number)
    return Member(each.id, each.public_key, each.addresses, each.policy.allowed())


@dataclass
class World:
    source: FakeSource = field(default_factory=FakeSource)
    engine: FakeEngine = field(default_factory=FakeEngine)
    now: int = 0
    told: list[str] = field(default_factory=list)
    reports: list[DeviceReport] = field(default_factory=list)
    takes_reports: bool = True
    heard: int = 0
    """How often something was reported, if only that the gateway is there."""

    async def report(self, devices: Sequence[DeviceReport]) -> None:
        if not self.takes_reports:
            raise OSError(5, "not now")
        self.heard += 1
        self.reports += devices

    @asynccontextmanager
    async def gateway(self, **options: Any) -> AsyncIterator[RunningGateway]:
        async with running(
            self.source,
            self.engine,
            tell=self.told.append,
            report=options.pop("report", self.report),
            clock=lambda: self.now,
            draw=lambda: 0.0,
            **options,
        ) as gateway:
            yield gateway


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "LOOK", 0.001)
    monkeypatch.setattr(watching, "PERIOD", 0.001)


async def test_the_engine_has_what_was_told_when_it_is_ready_and_follows(world: World) -> None:
    world.source.put(device(1))
    async with world.gateway() as gateway:
        await gateway.ready()
        world.engine.model.assert_has([member(1)])
        world.source.put(device(2))
        await until(lambda: gateway.applied == 2)
        world.engine.model.assert_has([member(1), member(2)])
        assert gateway.connected
        assert gateway.devices == 2
    assert world.engine.closed
    assert world.engine.whole == 1


async def test_who_loses_the_coordinator_keeps_its_peers_and_catches_up(world: World) -> None:
    world.source.put(device(1))
    async with world.gateway() as gateway:
        await gateway.ready()
        world.source.leave()
        await until(lambda: not gateway.connected)
        world.engine.model.assert_has([member(1)])
        world.source.coordinator.put(device(2))
        world.source.away = False
        await until(lambda: gateway.applied == 2)
        world.engine.model.assert_has([member(1), member(2)])
    assert world.source.asked == [(None, None), (1, "log")]
    *away, back = world.told
    assert {line.split(",")[0] for line in away} == {"the coordinator is away"}
    assert len(set(away)) == len(away), "each reason once"
    assert back == "the coordinator is back"


async def test_a_change_that_was_missed_is_noticed_and_all_asked_for_again(world: World) -> None:
    async with world.gateway() as gateway:
        await gateway.ready()
        world.source.skips = 1
        world.source.put(device(1))
        world.source.put(device(2))
        await until(lambda: gateway.applied == 2)
        world.engine.model.assert_has([member(1), member(2)])
    assert world.source.asked == [(None, None)] * 2


async def test_a_device_expires_while_the_coordinator_is_away(world: World) -> None:
    world.source.put(device(1, expires=100))
    world.source.put(device(2))
    async with world.gateway() as gateway:
        await gateway.ready()
        world.source.leave()
        await until(lambda: not gateway.connected)
        world.now = 100
        await until(lambda: gateway.devices == 1)
        world.engine.model.assert_has([member(2)])
        assert gateway.counters["expired_devices"] == 1


async def test_a_restart_begins_with_what_was_kept_while_the_coordinator_is_away(
    world: World, tmp_path: Path
) -> None:
    file = tmp_path / "gateway.state"
    async with world.gateway(state_file=file) as gateway:
        await gateway.ready()
        world.source.put(device(1))
        world.source.put(device(2, expires=100))
        world.now = 50
        await until(lambda: gateway.applied == 2)
    world.source.away, world.engine = True, FakeEngine()
    async with world.gateway(state_file=file) as gateway:
        await gateway.ready()
        assert not gateway.connected
        assert set(world.engine.model.peers) == {key(1), key(2)}
        world.source.away = False
        await until(lambda: gateway.connected)
    assert world.source.asked[-1] == (2, "log")


async def test_a_clock_that_does_not_outlive_a_reboot_brings_nothing_back(
    world: World, tmp_path: Path
) -> None:
    file = tmp_path / "gateway.state"
    world.source.put(device(1, expires=100))
    world.source.put(device(2))
    async with world.gateway(state_file=file) as gateway:
        await gateway.ready()
        world.now = 1000
        world.source.put(device(3))
        await until(lambda: gateway.applied == 3)
    world.source.away, world.engine, world.now = True, FakeEngine(), 0
    async with world.gateway(state_file=file) as gateway:
        await gateway.ready()
        assert set(world.engine.model.peers) == {key(2), key(3)}
        # The coordinator would have it otherwise, if the clock is right after all.
        world.source.away = False
        world.source.put(device(4))
        await until(lambda: gateway.applied == 4)
        assert set(world.engine.model.peers) == {key(1), key(2), key(3), key(4)}


async def test_an_engine_that_refuses_a_change_is_given_all_again(world: World) -> None:
    async with world.gateway() as gateway:
        await gateway.ready()
        world.engine.refusals = 3
        world.source.put(device(1))
        await until(lambda: gateway.applied == 1)
        world.engine.model.assert_has([member(1)])
        assert gateway.counters["failed_changes"] == 3
    assert world.engine.whole == 2
    assert world.told[-1] == "the interface is as it should be again"


async def test_a_mistake_of_ours_does_not_end_what_is_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.gateway() as gateway:
        await gateway.ready()
        with monkeypatch.context() as patch:
            patch.setattr(world.engine.model, "apply", lambda _: 1 // 0)
            world.source.put(device(1))
            await until(lambda: gateway.counters["failed_changes"] > 1)
        await until(lambda: gateway.applied == 1)
        world.engine.model.assert_has([member(1)])
    assert any("ZeroDivisionError" in line for line in world.told)


async def test_an_engine_that_is_gone_is_set_up_again(world: World) -> None:
    world.source.put(device(1))
    async with world.gateway() as gateway:
        await gateway.ready()
        world.engine.gone = True
        await until(lambda: world.engine.whole == 2)
        world.engine.model.assert_has([member(1)])


async def test_an_engine_that_cannot_begin_ends_the_gateway(world: World) -> None:
    world.engine.refusals = 1
    async with world.gateway() as gateway:
        with pytest.raises(OSError, match="no"):
            await gateway.ready()
        with pytest.raises(OSError, match="no"):
            await gateway.ended()
    assert world.engine.closed


@pytest.mark.parametrize("error", [ValueError("no such thing"), UnfitError(98, "this pool is the host's")])
async def test_what_was_kept_and_cannot_be_waits_for_the_coordinator_to_say_something_else(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    file = tmp_path / "gateway.state"
    async with world.gateway(state_file=file) as gateway:
        await gateway.ready()
        world.source.put(device(1))
        await until(lambda: gateway.applied == 1)
    world.engine = FakeEngine()

    def refuse(change: EngineChange) -> None:
        if any(placement.after.id == "number-1" for placement in change.put):
            raise error
        applies(change)

    applies = world.engine.model.apply
    monkeypatch.setattr(world.engine.model, "apply", refuse)
    world.source.away = True
    async with world.gateway(state_file=file) as gateway:
        await until(lambda: gateway.counters["failed_changes"] > 1)
        assert any(error.args[-1] in line for line in world.told)
        world.source.coordinator.remove("number-1")
        world.source.coordinator.put(device(2))
        world.source.away = False
        await gateway.ready()
        world.engine.model.assert_has([member(2)])


async def test_what_is_told_while_the_engine_works_comes_after(world: World) -> None:
    async with world.gateway() as gateway:
        await gateway.ready()
        world.engine.gate.clear()
        world.source.put(device(1))
        await until(lambda: gateway.revision == 1)
        world.source.put(device(2))
        world.source.put(device(3))
        await until(lambda: gateway.revision == 3)
        assert gateway.applied == 0
        world.engine.gate.set()
        await until(lambda: gateway.applied == 3)
        world.engine.model.assert_has([member(1), member(2), member(3)])


async def test_a_coordinator_that_takes_its_time_does_not_keep_the_gateway_from_looking(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Were its time counted as the look's, the last of these would come after more than a minute.
    monkeypatch.setattr(watching, "SHARE", 200)
    monkeypatch.setattr(watching, "QUIET", 0.0)
    taken = world.report

    async def slowly(devices: Sequence[DeviceReport]) -> None:
        await asyncio.sleep(0.3)
        await taken(devices)

    world.source.put(device(1))
    async with world.gateway(report=slowly):
        await until(lambda: world.heard >= watching.LOOKS + 2)


async def test_only_what_changed_is_reported_and_again_what_was_not_taken(world: World) -> None:
    world.source.put(device(1))
    world.takes_reports = False
    async with world.gateway() as gateway:
        await gateway.ready()
        world.engine.observed = (Observed(key(1), 10, 20, 30, "192.0.2.1:5000"),)
        await until(lambda: bool(gateway.observed))
        world.takes_reports = True
        await until(lambda: bool(world.reports))
        looks = world.engine.looks
        await until(lambda: world.engine.looks > looks + 2)
        assert len(world.reports) == 1
        world.engine.observed = (Observed(key(1), 11, 20, 30, "192.0.2.1:5000"),)
        await until(lambda: len(world.reports) == 2)
    assert [(each.device_id, each.received, each.sent) for each in world.reports] == [
        ("number-1", 10, 20),
        ("number-1", 11, 20),
    ]


async def test_a_gateway_whose_devices_are_quiet_is_heard_of_at_first_and_now_and_then(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.gateway():
        await until(lambda: world.heard == 1)
        looks = world.engine.looks
        await until(lambda: world.engine.looks > looks + 5)
        assert (world.heard, world.reports) == (1, [])
        monkeypatch.setattr(watching, "QUIET", 0.0)
        await until(lambda: world.heard > 2)
    assert world.reports == []


async def test_what_cannot_be_kept_is_told_once_and_nothing_ends(world: World, tmp_path: Path) -> None:
    file, in_the_way = tmp_path / "gateway.state", tmp_path / "gateway.state.new"
    in_the_way.mkdir()
    async with world.gateway(state_file=file) as gateway:
        world.source.put(device(1))
        await gateway.ready()
        await until(lambda: gateway.counters["failed_writes"] == 1)
        world.source.put(device(2))
        await until(lambda: gateway.counters["failed_writes"] == 2)
        in_the_way.rmdir()
        world.source.put(device(3))
        await until(file.exists)
    assert sum("could not be kept" in line for line in world.told) == 1


async def test_services_begin_after_the_engine_and_end_before_it(world: World) -> None:
    order: list[str] = []

    class Service:
        @asynccontextmanager
        async def serving(self, engine: GatewayEngine, told: Told) -> AsyncIterator[None]:
            assert engine is world.engine
            assert world.engine.whole == 1
            order.append("begun")
            try:
                yield
            finally:
                order.append("ended" if not world.engine.closed else "too late")

    async with world.gateway(services=[Service()]) as gateway:
        await gateway.ready()
        assert order == ["begun"]
    assert order == ["begun", "ended"]


async def test_settings_that_change_are_a_whole_change(world: World) -> None:
    async with world.gateway() as gateway:
        await gateway.ready()
        world.source.coordinator.settle(SETTINGS[1])
        world.source.news.set()
        await until(lambda: gateway.applied == 1)
        assert world.engine.model.filter is not None
        assert world.engine.model.filter.protected == SETTINGS[1].pools
    assert world.engine.whole == 2
