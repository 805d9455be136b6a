"""That coordinators serve a database of PostgreSQL, so that nobody replaces it below them.

Each has a share of an advisory lock, for as long as the connection by which it hears of changes. Who
replaces everything takes all of it: not while somebody has a share, and until that is done nobody gets one,
so that a coordinator which starts meanwhile, or whose connection was lost, waits. On SQLite the lock of the
state directory sees to all that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy.ext.asyncio import AsyncConnection

MORTAL: Final = "-c tcp_keepalives_idle=15 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=4"
"""Has the server forget a connection, and its locks, within a minute of its machine's death."""
# Any number of ours, beside those of migrations and of the gateway.
_LOCK: Final = 0x7769_7265_7365_7276


async def serve(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
    """Have a share for as long as the connection lasts; waits while the database is being replaced."""
    await connection.execute("SELECT pg_advisory_lock_shared(%s)", (_LOCK,))


async def replace(connection: AsyncConnection) -> bool:
    """Take all of it until the transaction ends; return False if a coordinator serves the database."""
    taken = await connection.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    return bool(taken)
