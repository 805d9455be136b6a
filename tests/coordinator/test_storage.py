"""Transactions: repeated when the database asks, told when it is full, gone or unknown."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from wirewright.coordinator.errors import StorageFullError, UnavailableError
from wirewright.coordinator.services import bootstrap, devices
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.services.devices import NewDevice
from wirewright.coordinator.storage import Storage, Transaction, database
from wirewright.coordinator.storage.failures import Failure, classify
from wirewright.coordinator.storage.urls import DatabaseUrl, DatabaseUrlError

from .actors import Actors, Clock, key

if TYPE_CHECKING:
    from .cluster import Cluster

pytestmark = pytest.mark.anyio


async def put(tx: Transaction, name: str, value: str) -> None:
    insert = "INSERT INTO setting (name, value) VALUES (:name, :value)"
    await tx.session.execute(text(insert), {"name": name, "value": value})


async def names(tx: Transaction) -> set[str]:
    return set(await tx.session.scalars(text("SELECT name FROM setting")))


def failure(state: str) -> OperationalError:
    origin = type("Said", (psycopg.OperationalError,), {"sqlstate": state})("as the server says")
    return OperationalError("SELECT", {}, origin)


@pytest.mark.parametrize("state", ["40001", "40P01", "57P01", "55P03", "08006"])
async def test_work_that_stood_against_anothers_is_done_anew(storage: Storage, state: str) -> None:
    attempts: list[Transaction] = []

    async def work(tx: Transaction) -> int:
        await put(tx, f"attempt {len(attempts)}", "{}")
        attempts.append(tx)
        if len(attempts) < 3:
            raise failure(state)
        return len(attempts)

    assert await storage.write(work) == 3
    # Only the attempt that went well left something.
    assert {name for name in await storage.read(names) if name.startswith("attempt")} == {"attempt 2"}


async def test_it_is_not_tried_for_ever(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_LONGEST_PAUSE", 0.001)
    attempts = 0

    async def work(_tx: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        raise failure("40001")

    with pytest.raises(UnavailableError):
        await storage.write(work)
    assert attempts == database.ATTEMPTS


async def test_two_that_lock_in_opposite_orders_both_end_well(storage: Storage) -> None:
    """A real deadlock on PostgreSQL; on SQLite the second one waits."""
    await storage.write(put, "left", "{}")
    await storage.write(put, "right", "{}")
    both = asyncio.Barrier(2)

    async def work(tx: Transaction, first: str, second: str, met: list[bool]) -> None:
        update = text("UPDATE setting SET value = '{}' WHERE name = :name")
        await tx.session.execute(update, {"name": first})
        if not met and not storage.url.is_sqlite:
            met.append(True)
            await both.wait()
        await tx.session.execute(update, {"name": second})

    await asyncio.gather(storage.write(work, "left", "right", []), storage.write(work, "right", "left", []))
    assert storage.url.is_sqlite or storage.repeated >= 1


async def test_an_error_of_ours_is_not_hidden(storage: Storage) -> None:
    async def work(tx: Transaction) -> None:
        await tx.session.execute(text("SELECT nonsense FROM nowhere"))

    with pytest.raises(Exception, match=r"(?i)nowhere"):
        await storage.write(work)
    assert storage.repeated == 0


async def test_what_fails_is_not_half_applied(storage: Storage) -> None:
    async def work(tx: Transaction) -> None:
        await put(tx, "half", "{}")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await storage.write(work)
    assert "half" not in await storage.read(names)


async def test_a_commit_whose_fate_is_unknown_is_said_to_be(
    postgresql: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of PostgreSQL: a file is not at the other end of a wire."""
    attempts = 0

    async def work(tx: Transaction) -> None:
        nonlocal attempts
        attempts += 1

        async def lost() -> None:
            raise failure("08006")

        await tx.session.execute(text("SELECT 1"))
        monkeypatch.setattr(tx.session, "commit", lost)

    with postgresql.database() as address:
        storage = Storage.open(address)
        with pytest.raises(UnavailableError, match="unknown"):
            await storage.write(work)
        assert attempts == 1
        await storage.close()


async def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path, clock: Clock) -> None:
    storage = Storage.open(f"sqlite:///{tmp_path}/small.sqlite", clock=clock)
    await storage.migrate()
    await storage.write(bootstrap.prepare)
    await Actors.settle(storage)
    made = await storage.write(devices.create, SYSTEM, NewDevice("before", key()))

    async def fill(tx: Transaction) -> None:
        pages = await tx.session.scalar(text("PRAGMA page_count"))
        await tx.session.execute(text(f"PRAGMA max_page_count = {pages}"))
        await put(tx, "large", "x" * 1_000_000)

    for _ in range(3):
        with pytest.raises(StorageFullError, match="full"):
            await storage.write(fill)
    found = await storage.read(devices.listed, SYSTEM, None, 200)
    assert [item.device.id for item in found.items] == [made.device.id]
    await storage.close()
    again = Storage.open(f"sqlite:///{tmp_path}/small.sqlite", clock=clock)
    await again.write(devices.create, SYSTEM, NewDevice("after", key()))
    assert "large" not in await again.read(names)
    await again.close()


async def test_a_database_that_restarts_is_found_again(postgresql: Cluster, clock: Clock) -> None:
    with postgresql.database() as address:
        storage = Storage.open(address, clock=clock)
        await storage.migrate()
        await storage.write(put, "before", "{}")
        await asyncio.to_thread(postgresql.stop)
        with pytest.raises(UnavailableError, match="cannot be used now"):
            await storage.write(put, "meanwhile", "{}")
        await asyncio.to_thread(postgresql.start)
        await storage.write(put, "after", "{}")
        assert await storage.read(names) == {"before", "after"}
        await storage.close()


async def test_a_reader_sees_one_moment(storage: Storage) -> None:
    async def twice(tx: Transaction) -> tuple[set[str], set[str]]:
        before = await names(tx)
        await storage.write(put, "meanwhile", "{}")
        return before, await names(tx)

    before, after = await storage.read(twice)
    assert before == after
    assert "meanwhile" in await storage.read(names)


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (sqlite3.SQLITE_FULL, Failure.FULL),
        (sqlite3.SQLITE_BUSY, Failure.PASSING),
        (sqlite3.SQLITE_IOERR | 3 << 8, Failure.UNAVAILABLE),
        (sqlite3.SQLITE_ERROR, Failure.OURS),
    ],
)
def test_what_sqlite_says_is_understood(code: int, meaning: Failure) -> None:
    origin = sqlite3.OperationalError("as it says")
    origin.sqlite_errorcode = code
    assert classify(OperationalError("SELECT", {}, origin)) is meaning


@pytest.mark.parametrize("address", ["", "mysql://x/y", "sqlite://", "sqlite:///:memory:", "nonsense"])
def test_an_address_that_is_no_database_is_refused(address: str) -> None:
    with pytest.raises(DatabaseUrlError, match="postgresql://user@host/name"):
        DatabaseUrl.parse(address)


def test_a_password_is_not_shown() -> None:
    url: Any = DatabaseUrl.parse("postgresql://user:hidden@host/name")
    assert "hidden" not in repr(url) + str(url)
    assert "hidden" in url.libpq()


@pytest.mark.parametrize("kind", ["read", "write"])
async def test_work_that_nobody_waits_for_any_more_ends_by_itself(
    address: str, clock: Clock, kind: str
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()
    done = []
    storage = Storage.open(address, clock=clock)
    run = getattr(storage, kind)

    async def work(tx: Transaction) -> None:
        await tx.session.scalar(select(1))
        began.set()
        await go_on.wait()
        done.append(await tx.session.scalar(select(1)))

    async def failing(_: Transaction) -> None:
        raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        await run(failing)
    waiting = asyncio.create_task(run(work))
    await began.wait()
    for _ in range(3):
        waiting.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert done == []
    go_on.set()
    await storage.close()
    assert done == [1]
