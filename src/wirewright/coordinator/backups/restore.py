"""Restoring a backup, wholly or not at all.

Into SQLite: a new file is filled, which then takes the place of the one that is there. Into PostgreSQL: all
of it in one transaction. Either way what was there stays as it is until everything has been read and found
genuine. The tables are made at the backup's own revision, and migrated from there.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DBAPIError

from wirewright.coordinator.backups import rows, sealing
from wirewright.coordinator.backups.backup import VERSION
from wirewright.coordinator.backups.sealing import BackupError
from wirewright.coordinator.clock import wall_clock
from wirewright.coordinator.identity import new_id
from wirewright.coordinator.services import changes
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.state import DATABASE, FILES
from wirewright.coordinator.storage import Storage, presence, tables
from wirewright.coordinator.storage.bulletin import CHANNEL
from wirewright.coordinator.storage.schema import current_revision, migrate_within, revisions
from wirewright.coordinator.storage.urls import DatabaseUrl

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from wirewright.coordinator.backups.rows import Progress
    from wirewright.coordinator.state import StateDirectory


class NotEmptyError(BackupError):
    """There is something that a restoration would replace."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a backup says of itself."""

    revision: str
    rows: int
    at: str


async def restore(
    file: Path,
    passphrase: str,
    state: StateDirectory,
    database: str | None,
    progress: Progress,
    *,
    replace: bool = False,
) -> Head:
    """Restore a backup into the state directory, whose lock is held, and the database; return its head.

    ``database`` is the address of one, or ``None`` for the file in the state directory. Raises `BackupError`,
    `DatabaseUrlError` and `OSError`; `NotEmptyError` if there is something that is not to be replaced.
    """
    if not replace:
        _refuse_files(state, database is None)
    with file.open("rb") as opened, state.restoring() as folder:
        lines = sealing.lines(opened, passphrase)
        head, files = _head(next(lines, b"")), _files(next(lines, b""))
        for name, content in files.items():
            (folder / name).write_bytes(content)
        address = database or DatabaseUrl.file(folder / DATABASE).sqlalchemy.render_as_string()
        storage = Storage.open(address)
        try:
            await _fill(storage, head, lines, progress, replace=replace)
        except (DBAPIError, OSError) as error:
            told = error.orig if isinstance(error, DBAPIError) else error
            raise BackupError(f"The database cannot be restored: {told}. It is as it was before.") from None
        finally:
            await storage.close()
        if database is None:
            _join(folder)
    return head


async def _fill(
    storage: Storage, head: Head, lines: Iterator[bytes], progress: Progress, *, replace: bool
) -> None:
    there = await current_revision(storage.engine)
    if there is not None and not replace:
        raise NotEmptyError(f"{storage.url} has tables of a coordinator already; --force replaces them.")
    if there is not None and there not in revisions():
        raise BackupError("The database is of a newer version of the program: install that one.")
    async with storage.engine.execution_options(wirewright_migrates=True).begin() as connection:
        if not storage.url.is_sqlite:
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            if not await presence.replace(connection):
                raise BackupError(
                    f"A coordinator serves {storage.url}: end each one that does (ww serve), on whatever "
                    "machine it runs, and restore then. One whose machine died is forgotten within a minute. "
                    "Nothing was changed."
                )
        if there is not None:
            await migrate_within(connection, "base")
        await migrate_within(connection, head.revision)
        count = await rows.inserted(connection, lines, head.rows, progress)
        if count != head.rows:
            raise BackupError(f"The backup has {count} rows, and says that it has {head.rows}.")
        await migrate_within(connection, "head")
        await _renumber(connection)
        await _note(connection, head)


async def _note(connection: AsyncConnection, head: Head) -> None:
    """Have the audit log tell what happened to it: what comes before it is what the backup had."""
    now = wall_clock()
    line = {"id": new_id(now), "at": now, "actor": SYSTEM.actor, "origin": SYSTEM.origin, "subject": ""}
    detail = {"made": head.at}
    await connection.execute(insert(tables.Audit).values(**line, action="backup.restore", detail=detail))


async def _renumber(connection: AsyncConnection) -> None:
    """Have each gateway ask for a whole state: its changes since the backup are changes of another history.

    The time in µs is larger than any revision that a gateway may have seen.
    """
    now = wall_clock()
    await connection.execute(update(tables.Gateway).values(revision=now, oldest_change=now + 1))
    if connection.dialect.name == "postgresql":
        for gateway_id in await connection.scalars(select(tables.Gateway.id)):
            notify = text("SELECT pg_notify(:channel, :topic)")
            await connection.execute(notify, {"channel": CHANNEL, "topic": changes.topic(gateway_id)})


def _refuse_files(state: StateDirectory, with_database: bool) -> None:
    for name in (*FILES, *((DATABASE,) if with_database else ())):
        path = state.path / name
        if path.exists() and path.stat().st_size:
            raise NotEmptyError(f"{path} is there already; --force replaces it, and the others there.")


def _join(folder: Path) -> None:
    """See to it that the database is one file: its last connection has taken the others away."""
    for rest in ("-wal", "-shm"):
        if (folder / f"{DATABASE}{rest}").exists():
            raise BackupError("The restored database is not closed; nothing was changed.")


def _head(line: bytes) -> Head:
    data = _object(line)
    try:
        version, head = int(data["version"]), Head(str(data["revision"]), int(data["rows"]), str(data["at"]))
    except (KeyError, TypeError, ValueError):
        raise BackupError("The backup does not begin as one does.") from None
    if version != VERSION or head.revision not in revisions():
        raise BackupError("This backup is of a newer version of the program: install that one to restore it.")
    return head


def _files(line: bytes) -> dict[str, bytes]:
    data = _object(line).get("files")
    if not isinstance(data, dict) or not set(data) <= set(FILES):
        raise BackupError("The backup has files that none has.")
    return {name: b64decode(content) for name, content in data.items()}


def _object(line: bytes) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise BackupError("The backup does not begin as one does.")
    return data
