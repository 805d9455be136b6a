"""The gateway in the coordinator's process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from wirewright.coordinator import solitude
from wirewright.coordinator.embedding import ROOTLESS, Carriage, embedded
from wirewright.coordinator.metrics import Metrics
from wirewright.coordinator.process import Settings, StartError, running
from wirewright.coordinator.services import bootstrap, devices
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.serving import Listening
from wirewright.coordinator.solitude import SecondGatewayError, alone
from wirewright.gateway.engine import Observed
from wirewright.gateway.engines import RootlessEngine
from wirewright.keys import SecretKey

from .actors import key

if TYPE_CHECKING:
    from pathlib import Path

    from wirewright.coordinator.storage import Storage

pytestmark = pytest.mark.anyio

CARRIAGE = Carriage(ROOTLESS, listen_port=0, listen_address="127.0.0.1")


async def becomes(condition: Callable[[], bool]) -> None:
    """Wait until it is so; nothing tells."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def begun(storage: Storage, own: SecretKey) -> str:
    first = await storage.write(bootstrap.first_start, str(own.public_key), "127.0.0.1:51820")
    return first.gateway_id


async def test_a_device_is_on_the_gateway_while_it_may_be(storage: Storage) -> None:
    own = SecretKey.generate()
    gateway_id = await begun(storage, own)
    told: list[str] = []
    async with embedded(storage, gateway_id, own, CARRIAGE, told.append) as gateway:
        assert gateway.devices == 0
        made = await storage.write(devices.create, SYSTEM, devices.NewDevice("laptop", key()))
        await becomes(lambda: gateway.devices == 1)
        change = devices.DeviceChange(enabled=False)
        await storage.write(devices.update, SYSTEM, made.device.id, change)
        await becomes(lambda: gateway.devices == 0)
        assert gateway.revision is not None
    assert told == []


async def test_what_the_gateway_sees_is_in_the_database(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, device = SecretKey.generate(), SecretKey.generate().public_key
    gateway_id = await begun(storage, own)
    made = await storage.write(devices.create, SYSTEM, devices.NewDevice("laptop", str(device)))

    async def observe(_: object) -> list[Observed]:
        return [Observed(device, 7, 8, storage.clock(), "192.0.2.1:5")]

    monkeypatch.setattr("wirewright.gateway.engines.RootlessEngine.observe", observe)
    async with embedded(storage, gateway_id, own, CARRIAGE, lambda _: None), asyncio.timeout(20):
        # Nothing tells when a report is committed.
        while (found := await storage.read(devices.get, SYSTEM, made.device.id)).report is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (found.report.received, found.report.sent, found.report.endpoint) == (7, 8, "192.0.2.1:5")


async def test_it_serves_leases_if_it_is_told_to(storage: Storage) -> None:
    own = SecretKey.generate()
    gateway_id = await begun(storage, own)
    told: list[str] = []
    carriage = replace(CARRIAGE, lease_time=60)
    async with embedded(storage, gateway_id, own, carriage, told.append) as gateway:
        assert isinstance(gateway.engine, RootlessEngine)
        tunnel = gateway.engine.tunnel
        assert tunnel is not None
        assert "fe80::" in tunnel.addresses
    assert told == []


async def test_its_metrics_are_on_the_coordinators_page_each_once(storage: Storage) -> None:
    own = SecretKey.generate()
    gateway_id = await begun(storage, own)
    async with embedded(storage, gateway_id, own, CARRIAGE, lambda _: None) as gateway:
        page = (await Metrics().text(storage, gateway)).decode()
    found = [family.name for family in text_string_to_metric_families(page)]
    assert len(found) == len(set(found))
    assert "wirewright_gateway_connected" in found
    assert 'wirewright_gateway_revision{gateway="embedded"}' in page


# With SQLite the lock of the state directory sees to it.
@pytest.mark.parametrize("address", ["postgresql"], indirect=True)
async def test_one_process_has_the_gateway_of_a_database(storage: Storage) -> None:
    own = SecretKey.generate()
    gateway_id = await begun(storage, own)
    async with alone(storage):
        with pytest.raises(SecondGatewayError, match="--without-gateway"):
            async with alone(storage):
                pass
    async with alone(storage), embedded(storage, gateway_id, own, CARRIAGE, lambda _: None):
        pass


async def end_connections(storage: Storage) -> None:
    """Do what a restart of the database does to the connection that has the lock."""
    async with storage.engine.connect() as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'wirewright gateway' AND datname = current_database()"
            )
        )


@pytest.mark.parametrize("address", ["postgresql"], indirect=True)
async def test_who_has_the_gateway_has_it_again_after_a_restart_of_the_database(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solitude, "LOOK", 0.05)
    async with alone(storage) as ours, asyncio.TaskGroup() as group:
        keeping = group.create_task(ours.kept())
        before = ours.connection
        await end_connections(storage)
        await becomes(lambda: ours.connection is not before)
        with pytest.raises(SecondGatewayError):
            async with alone(storage):
                pass
        assert not keeping.done()
        keeping.cancel()


@pytest.mark.parametrize("address", ["postgresql"], indirect=True)
async def test_who_lost_the_gateway_to_another_process_ends(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solitude, "LOOK", 0.05)
    async with alone(storage) as ours:
        await end_connections(storage)
        async with alone(storage):
            with pytest.raises(SecondGatewayError):
                async with asyncio.timeout(20):
                    await ours.kept()


@pytest.mark.parametrize("address", ["postgresql"], indirect=True)
async def test_the_database_looks_whether_the_machine_that_has_the_gateway_lives(storage: Storage) -> None:
    async with alone(storage) as ours:
        assert ours.connection is not None
        # On a socket of this machine the server knows that it is to look, and has no need to.
        asked = await ours.connection.execute(
            "SELECT count(*) FROM pg_settings WHERE name LIKE 'tcp_keepalives_%' AND source = 'client'"
        )
        assert await asked.fetchone() == (3,)


@pytest.mark.parametrize("address", ["postgresql"], indirect=True)
async def test_a_process_that_is_refused_leaves_the_gateway_as_it_is(
    storage: Storage, address: str, tmp_path: Path
) -> None:
    own = SecretKey.generate()
    await begun(storage, own)
    second = Settings(tmp_path / "second", Listening(port=0), address, endpoint="other.example:1")
    async with alone(storage):
        with pytest.raises(StartError, match="--without-gateway"):
            async with running(second):
                pass
    gateway = await storage.read(bootstrap.embedded)
    assert (gateway.public_key, gateway.endpoint) == (bytes(own.public_key), "127.0.0.1:51820")
