"""A gateway elsewhere: what it is told over HTTP, what it reports, and who is let in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.gateway.fakes import FakeEngine, until
from wirewright.coordinator.services import devices, gateways
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.services.changes import found
from wirewright.coordinator.services.devices import DeviceChange, NewDevice
from wirewright.gateway import http_source, watching
from wirewright.gateway.engine import Observed
from wirewright.gateway.http_source import CoordinatorError, HttpSource, checked, read_credential
from wirewright.gateway.instructions import GatewayState
from wirewright.gateway.reporting import DeviceReport
from wirewright.gateway.running import RunningGateway, running
from wirewright.keys import PublicKey, SecretKey

from .actors import Actors, key
from .served import served

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Storage

pytestmark = pytest.mark.anyio
OURS = SecretKey.generate().public_key


async def add(storage: Storage, name: str = "device") -> Any:
    return (await storage.write(devices.create, SYSTEM, NewDevice(name, key()))).device


@pytest.fixture
def credential(tmp_path: Path, actors: Actors) -> Path:
    path = tmp_path / "gateway.credential"
    path.write_text(f"{actors.credential}\n")
    path.chmod(0o600)
    return path


@asynccontextmanager
async def source(storage: Storage, credential: Path) -> AsyncIterator[HttpSource]:
    async with served(storage) as url:
        yield HttpSource(url.removesuffix("/api/v1"), credential, OURS)


@asynccontextmanager
async def gateway(
    url: str, credential: Path, engine: FakeEngine, told: list[str], **options: Any
) -> AsyncIterator[RunningGateway]:
    source = HttpSource(url.removesuffix("/api/v1"), credential, OURS)
    async with running(
        source, engine, report=source.report, tell=told.append, draw=lambda: 0.01, **options
    ) as running_:
        yield running_


async def key_told(storage: Storage, actors: Actors) -> bytes:
    return bytes((await storage.read(found, actors.gateway)).public_key or b"")


async def test_a_gateway_is_told_what_to_be_and_tells_its_key_once_it_serves(
    storage: Storage, actors: Actors, credential: Path
) -> None:
    added = await add(storage)
    async with source(storage, credential) as ours, aclosing(ours.follow()) as told:
        assert await anext(told) is None
        state = await anext(told)
        assert isinstance(state, GatewayState)
        assert [device.id for device in state.devices] == [added.id]
        assert state.log == actors.gateway
        before = await key_told(storage, actors)
        assert before != bytes(OURS), "who does not serve yet takes nothing from who may"
        await ours.report([])
        assert await key_told(storage, actors) == bytes(OURS)


async def test_a_gateway_finds_out_that_another_has_its_place(
    storage: Storage, actors: Actors, credential: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_source, "LOOK", 0.0)
    other = SecretKey.generate().public_key
    async with served(storage) as url:
        where = url.removesuffix("/api/v1")
        ours, theirs = (HttpSource(where, credential, key) for key in (OURS, other))
        await ours.report([])
        await theirs.report([])
        with pytest.raises(OSError, match="another gateway has begun with this credential"):
            await ours.report([])
        assert await key_told(storage, actors) == bytes(other)


async def test_who_followed_another_log_is_told_all(
    storage: Storage, actors: Actors, credential: Path
) -> None:
    await add(storage)
    async with source(storage, credential) as ours:
        async with aclosing(ours.follow(1, "another")) as told:
            assert [await anext(told), type(await anext(told))] == [None, GatewayState]
        async with aclosing(ours.follow(1, actors.gateway)) as told:
            assert await anext(told) is None
            change = await anext(told)
            assert change is not None
            assert change.revision == 2


async def test_reports_reach_the_devices(storage: Storage, credential: Path) -> None:
    added = await add(storage)
    report = DeviceReport(added.id, 10, 20, 1_700_000_000_123_456, "[2001:db8::1]:5000")
    async with source(storage, credential) as ours:
        await ours.report([report])
    seen = (await storage.read(devices.get, SYSTEM, added.id)).report
    assert seen is not None
    assert (seen.received, seen.sent, seen.latest_handshake, seen.endpoint) == (
        10,
        20,
        1_700_000_000_123_456,
        "[2001:db8::1]:5000",
    )


async def test_a_gateway_outlives_its_coordinator_and_catches_up(
    storage: Storage, credential: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PERIOD", 0.01)
    engine, told = FakeEngine(), list[str]()
    first = await add(storage)
    async with served(storage) as url:
        port = url.split(":")[2].split("/")[0]
    # The port is free again: whoever takes it meanwhile would fail this test, and nobody does.
    async with gateway(url, credential, engine, told, state_file=tmp_path / "state") as ours:
        await until(lambda: bool(told))
        async with served(storage, int(port)):
            await ours.ready()
            assert set(engine.model.devices) == {first.id}
            engine.observed = (Observed(PublicKey.from_hex(first.public_key.hex()), 5, 6, 7_000_000),)
            await until(lambda: ours.counters["reported_devices"] == 1)
        await until(lambda: not ours.connected)
        second = await add(storage)
        await storage.write(devices.update, SYSTEM, first.id, DeviceChange(enabled=False))
        assert set(engine.model.devices) == {first.id}
        async with served(storage, int(port)):
            await until(lambda: set(engine.model.devices) == {second.id})
    report = (await storage.read(devices.get, SYSTEM, first.id)).report
    assert report is not None
    assert report.received == 5


async def test_a_credential_that_is_renewed_takes_effect_without_a_restart(
    storage: Storage, actors: Actors, credential: Path
) -> None:
    engine, told = FakeEngine(), list[str]()
    async with served(storage) as url, gateway(url, credential, engine, told) as ours:
        await ours.ready()
        _, secret = await storage.write(gateways.renew_credential, SYSTEM, actors.gateway)
        await until(lambda: not ours.connected and bool(told))
        await asyncio.to_thread(credential.write_text, secret.expose())
        added = await add(storage)
        await until(lambda: set(engine.model.devices) == {added.id})
    assert actors.credential not in "".join(told)


async def test_a_key_that_another_has_is_told_in_words(
    storage: Storage, actors: Actors, credential: Path
) -> None:
    await storage.write(devices.create, SYSTEM, NewDevice("thief", str(OURS)))
    async with source(storage, credential) as ours:
        with pytest.raises(CoordinatorError, match="409: Another gateway or device has this public key"):
            await ours.report([])


async def test_what_goes_wrong_is_told_in_words(
    storage: Storage, actors: Actors, credential: Path, tmp_path: Path
) -> None:
    async with served(storage) as url:
        root = url.removesuffix("/api/v1")
        stranger = tmp_path / "stranger"
        stranger.write_text("wwg_nobody_nothing")
        stranger.chmod(0o600)
        for where, file, words in (
            (root, stranger, "does not take the credential in .*stranger"),
            (f"{root}/else", credential, "answered 404"),
            (root.replace("http://", "https://"), credential, "cannot be reached"),
        ):
            with pytest.raises(CoordinatorError, match=words) as raised:
                await anext(HttpSource(where, file, OURS).follow())
            assert actors.credential not in str(raised.value)
    with pytest.raises(CoordinatorError, match="cannot be reached"):
        await anext(HttpSource(root, credential, OURS).follow())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://vpn.example", "not encrypted"),
        ("http://192.0.2.1:8080", "not encrypted"),
        ("vpn.example", "no address"),
        ("ftp://vpn.example", "no address"),
        ("https://ann:secret@vpn.example", "no password"),
        ("https://vpn.example/?a=b", "no address"),
    ],
)
def test_a_secret_goes_to_no_other_machine_unencrypted(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        checked(url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["https://vpn.example/", "http://127.0.0.1:8080", "http://[::1]", "http://localhost"]
)
def test_these_are_addresses_of_coordinators(url: str) -> None:
    assert checked(url) == url.rstrip("/")


def test_a_credential_is_for_its_owner_alone(open_folder: Path) -> None:
    path = open_folder / "gateway.credential"
    path.write_text("wwg_some_thing\n")
    path.chmod(0o604)
    with pytest.raises(PermissionError, match="chmod 600"):
        read_credential(path)
    path.chmod(0o600)
    assert read_credential(path) == "wwg_some_thing"
    path.write_text("wwt_some_thing\n")
    with pytest.raises(OSError, match="no credential of a gateway"):
        read_credential(path)
