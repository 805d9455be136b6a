"""Backups and restorations, on both databases and from each to the other."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from wirewright.coordinator import app
from wirewright.coordinator.backups import BackupError, NotEmptyError, back_up, restore, rows, sealing
from wirewright.coordinator.context import Coordinator
from wirewright.coordinator.services import audit, changes, devices, users
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.state import StateDirectory
from wirewright.coordinator.storage import Storage, Transaction, presence, schema
from wirewright.coordinator.storage.bulletin import Bulletin, listen
from wirewright.coordinator.storage.tables import Base

from .actors import Actors, Clock, key

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

PASSPHRASE = "correct horse battery"
CHEAP = 1 << 4


def quiet(_done: int, _total: int) -> None:
    pass


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    """A state directory with a gateway's key and a token."""
    made = StateDirectory(tmp_path / "state")
    made.prepare()
    made.gateway_key()
    made.token.write_text("wwt_token\n")
    return made


@pytest.fixture
def elsewhere(tmp_path: Path) -> StateDirectory:
    made = StateDirectory(tmp_path / "elsewhere")
    made.prepare()
    return made


async def everything(storage: Storage) -> dict[str, list[Any]]:
    """All rows but those that a restoration makes anew."""

    async def read(tx: Transaction) -> dict[str, list[Any]]:
        found = {}
        for table in Base.metadata.sorted_tables:
            if table.name == "change":
                continue
            columns = [c for c in table.columns if c.name not in {"revision", "oldest_change"}]
            query = select(*columns).order_by(*table.primary_key.columns)
            if table.name == "audit":
                query = query.where(table.c.action != "backup.restore")
            found[table.name] = [tuple(row) for row in await tx.session.execute(query)]
        return found

    return await storage.read(read)


async def fill(storage: Storage) -> Actors:
    actors = await Actors.settle(storage)
    caller = await storage.read(users.authenticate, actors.tokens["operator"], "192.0.2.1")
    for number in range(20):
        new = devices.NewDevice(f"Gerät {number} ☂", key(), expires_at=storage.clock() + 10**12)
        await storage.write(devices.create, caller, new)
    return actors


@pytest.mark.timeout(120)
@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
async def test_all_rows_and_files_come_back_in_either_database(
    request: pytest.FixtureRequest,
    storage: Storage,
    state: StateDirectory,
    elsewhere: StateDirectory,
    tmp_path: Path,
    target: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # So that tables are read and written in several pieces, the last one not full.
    monkeypatch.setattr(rows, "_AT_ONCE", 7)
    actors = await fill(storage)
    file = tmp_path / "backup"
    told: list[tuple[int, int]] = []
    count = await back_up(storage, state, file, PASSPHRASE, lambda *now: told.append(now), cost=CHEAP)
    assert told[-1] == (count, count)
    before = await everything(storage)
    with request.getfixturevalue("postgresql").database() as empty:
        address = empty if target == "postgresql" else None
        with elsewhere.held():
            head = await restore(file, PASSPHRASE, elsewhere, address, quiet)
        assert head.rows == count
        again = Storage.open(address or f"sqlite:///{elsewhere.database}")
        try:
            assert await everything(again) == before
            assert await schema.current_revision(again.engine) == schema.revisions()[-1]
            for action in ("backup.create", "backup.restore"):
                assert len((await again.read(audit.entries, None, 9, action=action)).items) == 1
            # A gateway that has seen more than the backup asks for a whole state.
            gateway = await again.read(changes.found, actors.gateway)
            for seen in (1, 20, 10_000):
                assert await again.read(changes.changes_after, gateway, seen) is None
        finally:
            await again.close()
    for name in ("gateway.key", "admin.token"):
        path = elsewhere.path / name
        assert path.read_bytes() == (state.path / name).read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600


async def test_a_backup_made_between_writes_is_of_one_moment(
    storage: Storage, state: StateDirectory, elsewhere: StateDirectory, tmp_path: Path
) -> None:
    actors = await Actors.settle(storage)
    stop = asyncio.Event()

    async def write() -> None:
        while not stop.is_set():
            await storage.write(devices.create, SYSTEM, devices.NewDevice("d", key(), actors.gateway))

    writing = asyncio.create_task(write())
    try:
        await asyncio.sleep(0)
        await back_up(storage, state, tmp_path / "backup", PASSPHRASE, quiet, cost=CHEAP)
    finally:
        stop.set()
        await writing
    with elsewhere.held():
        await restore(tmp_path / "backup", PASSPHRASE, elsewhere, None, quiet)
    again = Storage.open(f"sqlite:///{elsewhere.database}")
    try:
        found = await everything(again)
    finally:
        await again.close()
    # Each device was written with its two addresses and its line of the log, or not at all.
    count = len(found["device"])
    assert len([row for row in found["address"] if "administered" in row]) == 2 * count
    assert len([row for row in found["audit"] if "device.create" in row]) == count


# The file of SQLite is replaced as a whole: see the commands' tests.
@pytest.mark.parametrize("address", ["postgresql"], indirect=True)
async def test_a_database_that_is_there_is_replaced_only_if_that_is_wanted(
    address: str, state: StateDirectory, tmp_path: Path, clock: Clock
) -> None:
    # Nobody serves it.
    storage = Storage.open(address, clock=clock)
    actors = await Actors.settle(storage)
    await back_up(storage, state, tmp_path / "backup", PASSPHRASE, quiet, cost=CHEAP)
    await storage.write(devices.create, SYSTEM, devices.NewDevice("later", key(), actors.gateway))
    before = await everything(storage)
    empty = StateDirectory(tmp_path / "empty")
    empty.prepare()
    with pytest.raises(NotEmptyError, match="--force replaces them"):
        await restore(tmp_path / "backup", PASSPHRASE, empty, address, quiet)
    assert await everything(storage) == before
    assert list(empty.path.iterdir()) == []
    await restore(tmp_path / "backup", PASSPHRASE, empty, address, quiet, replace=True)
    assert (await everything(storage))["device"] == []
    await storage.close()


@pytest.mark.parametrize("address", ["postgresql"], indirect=True)
async def test_a_database_that_a_coordinator_serves_is_not_replaced(
    address: str, state: StateDirectory, elsewhere: StateDirectory, tmp_path: Path, clock: Clock
) -> None:
    storage = Storage.open(address, clock=clock)
    async with app.running(Coordinator(storage)):
        await Actors.settle(storage)
        await back_up(storage, state, tmp_path / "backup", PASSPHRASE, quiet, cost=CHEAP)
        before = await everything(storage)
        with pytest.raises(BackupError, match=r"A coordinator serves .*: end each one"):
            await restore(tmp_path / "backup", PASSPHRASE, elsewhere, address, quiet, replace=True)
        assert await everything(storage) == before
        assert list(elsewhere.path.iterdir()) == []
    await restore(tmp_path / "backup", PASSPHRASE, elsewhere, address, quiet, replace=True)


@pytest.mark.parametrize("address", ["postgresql"], indirect=True)
async def test_a_coordinator_that_starts_while_a_database_is_replaced_waits(
    address: str, clock: Clock
) -> None:
    storage = Storage.open(address, clock=clock)
    connected = asyncio.Event()
    async with storage.engine.begin() as connection:
        assert await presence.replace(connection)
        listening = asyncio.create_task(listen(storage.url, Bulletin(), connected))
        await _until_somebody_waits(storage)
        assert not connected.is_set()
    await asyncio.wait_for(connected.wait(), 30)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await storage.close()


async def _until_somebody_waits(storage: Storage) -> None:
    """Return once a connection waits for an advisory lock of this database."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
    )
    async with storage.engine.connect() as connection:
        while not await connection.scalar(waiting):
            await connection.rollback()
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("cut", [40, 300, -1, -17])
async def test_a_damaged_backup_changes_nothing(
    storage: Storage, address: str, state: StateDirectory, tmp_path: Path, cut: int
) -> None:
    actors = await Actors.settle(storage)
    file = tmp_path / "backup"
    await back_up(storage, state, file, PASSPHRASE, quiet, cost=CHEAP)
    file.write_bytes(file.read_bytes()[:cut])
    await storage.write(devices.create, SYSTEM, devices.NewDevice("later", key(), actors.gateway))
    before, there = await everything(storage), (state.path / "gateway.key").read_bytes()
    database = None if storage.url.is_sqlite else address
    with pytest.raises(BackupError, match="damaged"):
        await restore(file, PASSPHRASE, state, database, quiet, replace=True)
    assert await everything(storage) == before
    assert (state.path / "gateway.key").read_bytes() == there
    assert sorted(path.name for path in state.path.iterdir()) == ["admin.token", "gateway.key"]


def test_a_restoration_that_was_interrupted_is_finished_by_the_next(state: StateDirectory) -> None:
    database = state.path / "coordinator.sqlite"
    for name in ("", "-wal", "-shm"):
        Path(f"{database}{name}").write_text("old")
    whole = state.path / "restored.whole"
    whole.mkdir()
    (whole / "coordinator.sqlite").write_text("new")
    (whole / "gateway.key").write_text("new key")
    with state.held():
        assert database.read_text() == "new"
        assert (state.path / "gateway.key").read_text() == "new key"
    names = {path.name for path in state.path.iterdir()}
    assert names == {"admin.token", "coordinator.lock", "coordinator.sqlite", "gateway.key"}


async def test_a_backup_of_a_newer_program_is_refused(
    storage: Storage, state: StateDirectory, elsewhere: StateDirectory, tmp_path: Path
) -> None:
    file = tmp_path / "backup"
    with file.open("wb") as opened:
        sealer = sealing.Sealer(opened, PASSPHRASE, cost=CHEAP)
        sealer.write(json.dumps({"version": 1, "revision": "9999", "rows": 0, "at": ""}).encode())
        sealer.write(b'{"files":{}}')
        sealer.finish()
    with pytest.raises(BackupError, match="newer version of the program"):
        await restore(file, PASSPHRASE, elsewhere, None, quiet)
    assert list(elsewhere.path.iterdir()) == []


async def test_a_backup_names_no_file_outside_of_the_state_directory(
    elsewhere: StateDirectory, tmp_path: Path
) -> None:
    file = tmp_path / "backup"
    head = {"version": 1, "revision": schema.revisions()[-1], "rows": 0, "at": ""}
    with file.open("wb") as opened:
        sealer = sealing.Sealer(opened, PASSPHRASE, cost=CHEAP)
        sealer.write(json.dumps(head).encode())
        sealer.write(b'{"files":{"../evil":"AAAA"}}')
        sealer.finish()
    with pytest.raises(BackupError, match="files that none has"):
        await restore(file, PASSPHRASE, elsewhere, None, quiet)


async def test_a_disk_that_is_full_leaves_no_backup(
    storage: Storage, state: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sealing.Sealer, "finish", full)
    with pytest.raises(OSError, match="No space left"):
        await back_up(storage, state, tmp_path / "backup", PASSPHRASE, quiet, cost=CHEAP)
    assert names(tmp_path) == ["state"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("coordinator."))


def sealed(lines: list[bytes], passphrase: str = PASSPHRASE) -> bytes:
    file = io.BytesIO()
    sealer = sealing.Sealer(file, passphrase, cost=CHEAP)
    for line in lines:
        sealer.write(line)
    sealer.finish()
    return file.getvalue()


def opened(text: bytes, passphrase: str = PASSPHRASE) -> Iterator[bytes]:
    return sealing.lines(io.BytesIO(text), passphrase)


LINES = st.lists(st.binary(max_size=300).filter(lambda line: b"\n" not in line), max_size=20)


@given(LINES, st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_lines_come_out_as_they_went_in(lines: list[bytes], blocks: int) -> None:
    import random

    # What does not compress, so that there is more than one chunk.
    lines += [random.Random(number).randbytes(70_000).hex().encode() for number in range(blocks)]
    assert list(opened(sealed(lines))) == lines


@given(LINES, st.data())
@settings(max_examples=60, deadline=None)
def test_any_change_of_a_backup_is_found(lines: list[bytes], data: st.DataObject) -> None:
    text = bytearray(sealed(lines))
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BackupError):
        list(opened(bytes(text)))


def test_chunks_can_be_neither_left_out_nor_exchanged() -> None:
    import random

    text = sealed([random.Random(1).randbytes(150_000).hex().encode()])
    start = text.index(b"\n", len(sealing.MAGIC)) + 1
    size = sealing.CHUNK + 16
    head, chunks = text[:start], [text[i : i + size] for i in range(start, len(text), size)]
    assert len(chunks) > 2
    for changed in (chunks[:-1], chunks[1:], [chunks[1], chunks[0], *chunks[2:]], [*chunks, chunks[-1]]):
        with pytest.raises(BackupError):
            list(opened(head + b"".join(changed)))


@pytest.mark.parametrize(
    "told",
    [
        {"n": 1 << 30},
        {"n": 3},
        {"n": -2},
        {"r": 1 << 20},
        {"kdf": "none"},
        {"nonce": ""},
        {"salt": ""},
        {"n": None},
    ],
)
def test_a_head_that_asks_for_too_much_is_refused(told: dict[str, Any]) -> None:
    head, _, rest = sealed([b"x"])[len(sealing.MAGIC) :].partition(b"\n")
    text = sealing.MAGIC + json.dumps(json.loads(head) | told).encode() + b"\n" + rest
    with pytest.raises(BackupError, match="head"):
        list(opened(text))


def test_a_short_passphrase_is_refused() -> None:
    with closing(io.BytesIO()) as file, pytest.raises(BackupError, match="at least 8 characters"):
        sealing.Sealer(file, "short")
