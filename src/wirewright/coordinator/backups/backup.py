"""Making a backup, while the coordinator runs.

All rows are read in one transaction that sees one moment. The keys lie in files that do not change.
"""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from sqlalchemy.exc import DBAPIError

import wirewright
from wirewright.client.secret_files import private_file
from wirewright.coordinator.backups import rows
from wirewright.coordinator.backups.sealing import COST, BackupError, Sealer
from wirewright.coordinator.services import audit
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.state import FILES
from wirewright.coordinator.storage.schema import current_revision, revisions

if TYPE_CHECKING:
    from wirewright.coordinator.backups.rows import Progress
    from wirewright.coordinator.state import StateDirectory
    from wirewright.coordinator.storage import Storage, Transaction

VERSION: Final = 1


async def back_up(
    storage: Storage,
    state: StateDirectory,
    file: Path,
    passphrase: str,
    progress: Progress,
    *,
    replace: bool = False,
    cost: int = COST,
) -> int:
    """Write a backup, wholly or not at all, for its owner only; return how many rows it has.

    That it is made stands in the audit log, and so in the backup. Raises `BackupError`, `FileExistsError` and
    `OSError`.
    """
    try:
        if await current_revision(storage.engine) == revisions()[-1]:
            await storage.write(_note)
        with private_file(file, replace=replace) as opened:
            count = await _write(storage, state, opened, passphrase, progress, cost)
    except DBAPIError as error:
        raise BackupError(f"{storage.url} cannot be read: {error.orig}") from None
    return count


async def _note(tx: Transaction) -> None:
    audit.record(tx, SYSTEM, "backup.create", "")


async def _write(  # noqa: PLR0917
    storage: Storage,
    state: StateDirectory,
    file: BinaryIO,
    passphrase: str,
    progress: Progress,
    cost: int,
) -> int:
    revision = await current_revision(storage.engine)
    if revision is None:
        raise BackupError(f"{storage.url} has no tables of a coordinator: there is nothing to back up.")
    sealer = Sealer(file, passphrase, cost=cost)
    total = 0

    def counted(done: int, of: int) -> None:
        nonlocal total
        total = of
        progress(done, of)

    options = (
        {"wirewright_writes": False}
        if storage.url.is_sqlite
        else {
            "isolation_level": "REPEATABLE READ",
            "postgresql_readonly": True,
        }
    )
    async with storage.engine.execution_options(**options).connect() as connection:
        lines = rows.written(connection, counted)
        first = await anext(lines)
        head = {
            "version": VERSION,
            "revision": revision,
            "rows": total,
            "program": wirewright.__version__,
            "database": storage.engine.dialect.name,
            "at": datetime.now(UTC).isoformat(),
        }
        sealer.write(json.dumps(head).encode())
        sealer.write(json.dumps({"files": _files(state)}).encode())
        sealer.write(first)
        async for line in lines:
            sealer.write(line)
    sealer.finish()
    return total


def _files(state: StateDirectory) -> dict[str, str]:
    """Return the keys of a state directory, those that are there."""
    found = {}
    for name in FILES:
        with suppress(FileNotFoundError):
            found[name] = b64encode((state.path / name).read_bytes()).decode()
    return found
