"""That of all processes that share a database one has the gateway, since all would have the same devices.

On SQLite the lock of the state directory sees to that. On PostgreSQL it is an advisory lock, which lasts as
long as the connection that took it: when the database restarts nobody has it. So whoever has the gateway
looks whether its connection is there, and takes the lock again when it is not. If another process was
quicker, that one has the gateway now.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import psycopg

from wirewright.coordinator.storage import presence

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wirewright.coordinator.storage import Storage

LOOK: Final = 2.0
"""Seconds between two looks, and between two tries to have the lock again."""
# Any number of ours, beside that of migrations.
_LOCK: Final = 0x7769_7265_6761_7465


class SecondGatewayError(OSError):
    """Another process has the gateway of this database."""


class Solitude:
    """The lock, for as long as `alone` lasts."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.connection: psycopg.AsyncConnection[tuple[object, ...]] | None = None
        """What has the lock; None where none is needed."""

    async def kept(self) -> None:
        """Look after it until cancelled. Raises `SecondGatewayError`: another process has it now."""
        if self.connection is None:
            await asyncio.Event().wait()
        while True:
            await asyncio.sleep(LOOK)
            # A database that is away comes back, and nobody has the lock meanwhile.
            with suppress(psycopg.Error):
                await self._look()

    async def take(self) -> None:
        """Take it. Raises `SecondGatewayError`, and psycopg's errors if the database is away."""
        self.connection = await psycopg.AsyncConnection.connect(
            self._storage.url.libpq(),
            autocommit=True,
            connect_timeout=15,
            application_name="wirewright gateway",
            options=presence.MORTAL,
        )
        cursor = await self.connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,))
        row = await cursor.fetchone()
        if row is None or not row[0]:
            raise SecondGatewayError(
                "Another process runs the gateway of this database: start this one with --without-gateway."
            )

    async def close(self) -> None:
        """Give it back."""
        if self.connection is not None:
            # The database may see the end of the connection a moment later, when the next one asks already.
            try:
                with suppress(psycopg.Error):
                    await self.connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))
            finally:
                # Also where who gives it back is cancelled meanwhile.
                await self.connection.close()

    async def _look(self) -> None:
        assert self.connection is not None
        try:
            await self.connection.execute("SELECT 1")
        except psycopg.Error:
            await self.connection.close()
            await self.take()


@asynccontextmanager
async def alone(storage: Storage) -> AsyncIterator[Solitude]:
    """Be the process that has the gateway. Raises `SecondGatewayError` if another one is."""
    solitude = Solitude(storage)
    try:
        if not storage.url.is_sqlite:
            await solitude.take()
        yield solitude
    finally:
        await solitude.close()
