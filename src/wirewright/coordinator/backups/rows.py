"""The rows of a database as lines of JSON, and back.

Tables are read as they are in the database, not as this version of the program would make them, so that a
backup is restored at the revision that it was made at, and migrated from there. Columns say which of them are
bytes; all else is what JSON has. The log of changes for gateways is left out: after a restoration each gets a
whole state.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import LargeBinary, MetaData, Table, func, insert, select

from wirewright.coordinator.backups.sealing import BackupError

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

# Who was logged in when it was made is not logged in by a restoration.
_LEFT_OUT: Final = frozenset({"alembic_version", "challenge", "change", "session"})
_AT_ONCE: Final = 200
"""Rows that are read, or written, at once."""

Progress = Callable[[int, int], None]
"""Told how many rows are done, and of how many."""


async def written(connection: AsyncConnection, progress: Progress) -> AsyncIterator[bytes]:
    """Yield the lines of all tables, in an order in which they can be inserted. One transaction is open."""
    tables = await connection.run_sync(_tables)
    counts = [await connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables]
    total, done = sum(counts), 0
    progress(0, total)
    for table in tables:
        yield _line({"table": table.name, "columns": [[c.name, _is_bytes(c)] for c in table.columns]})
        result = await connection.stream(select(table), execution_options={"yield_per": _AT_ONCE})
        async for rows in result.partitions(_AT_ONCE):
            for row in rows:
                yield _line([_as_json(value) for value in row])
            done += len(rows)
            progress(done, total)


async def inserted(
    connection: AsyncConnection, lines: Iterable[bytes], total: int, progress: Progress
) -> int:
    """Insert what `written` gave into empty tables; return how many rows there were. Raises `BackupError`."""
    tables = {table.name: table for table in await connection.run_sync(_tables)}
    done = 0
    for table, rows in _batches(lines, tables):
        await connection.execute(insert(table), rows)
        done += len(rows)
        progress(done, total)
    return done


def _batches(
    lines: Iterable[bytes], tables: dict[str, Table]
) -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    table: Table | None = None
    columns: list[tuple[str, bool]] = []
    rows: list[dict[str, Any]] = []
    for line in lines:
        value = _read(line)
        if isinstance(value, dict):
            if table is not None and rows:
                yield table, rows
            rows = []
            table = tables.get(str(value.get("table")))
            columns = [(str(name), bool(is_bytes)) for name, is_bytes in value.get("columns", [])]
            if table is None or {name for name, _ in columns} != set(table.columns.keys()):
                raise BackupError("The backup has a table that its revision of the database does not have.")
            continue
        if table is None or len(value) != len(columns):
            raise BackupError("The backup has a row of no table.")
        rows.append(
            {name: _from_json(each, is_bytes) for (name, is_bytes), each in zip(columns, value, strict=True)}
        )
        if len(rows) == _AT_ONCE:
            yield table, rows
            rows = []
    if table is not None and rows:
        yield table, rows


def _tables(connection: Connection) -> list[Table]:
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name not in _LEFT_OUT]


def _is_bytes(column: Any) -> bool:  # noqa: ANN401 - of any type
    return isinstance(column.type, LargeBinary)


def _as_json(value: object) -> object:
    return b64encode(value).decode() if isinstance(value, bytes | bytearray | memoryview) else value


def _from_json(value: Any, is_bytes: bool) -> object:  # noqa: ANN401 - any JSON
    return b64decode(value) if is_bytes and value is not None else value


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _read(line: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict | list):
        raise BackupError("The backup has a line that is none of its own.")
    return value
