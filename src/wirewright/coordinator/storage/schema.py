"""Alembic without a configuration file: the migrations beside this module, run on an engine of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

MIGRATIONS: Final = Path(__file__).with_name("migrations")
# Any number of ours: replicas that start together migrate one after the other.
_LOCK: Final = 0x7769_7265_7772_6774


class NewerDatabaseError(Exception):
    """The database was made by a newer version of the program."""


async def migrate(engine: AsyncEngine, revision: str = "head") -> None:
    """Bring the tables to ``revision``, upwards or downwards, in one transaction.

    Raises `NewerDatabaseError` for tables that this program does not know.
    """
    async with engine.execution_options(wirewright_migrates=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            await connection.execute(text("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"))
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        await connection.run_sync(_migrate, revision)
        if connection.dialect.name == "sqlite":
            broken = (await connection.execute(text("PRAGMA foreign_key_check"))).first()
            assert broken is None, f"the migration broke {broken}"


async def migrate_within(connection: AsyncConnection, revision: str) -> None:
    """Bring the tables to ``revision`` within the transaction of a connection that migrates."""
    await connection.run_sync(_migrate, revision)


async def current_revision(engine: AsyncEngine) -> str | None:
    """Return the revision of the tables that are there; ``None`` where there are none."""
    async with engine.connect() as connection:
        return await connection.run_sync(_current)


def revisions() -> list[str]:
    """Return all revisions, the oldest first; the last one is what this program is written for."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _migrate(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    order = revisions()
    target = order[-1] if revision == "head" else revision
    there = _current(connection)
    steps = ["base", *order]
    if there is not None and there not in order:
        raise NewerDatabaseError(
            f"The database is at revision {there[:40]}, which this program does not know: it is older "
            "than the database. Install the version that made it, or a newer one."
        )
    down = steps.index(target) < steps.index(there or "base")
    (command.downgrade if down else command.upgrade)(config, target)
