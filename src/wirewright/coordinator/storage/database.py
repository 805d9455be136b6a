"""Transactions on SQLite and PostgreSQL that are repeated when the database asks for it.

A piece of work is a function of a `Transaction`. It is run anew, in a new transaction, when the database
says that it stood against another's (a deadlock, a serialization failure, a lock) or that the connection
was lost before the commit began; at most `ATTEMPTS` times. A connection that is lost *in* the commit leaves
it unknown whether the work was applied, so that is told, and not repeated.

On SQLite work that writes begins with BEGIN IMMEDIATE, one at a time in a process, so that nothing is ever
refused because two readers became writers. On PostgreSQL transactions are READ COMMITTED; who needs more
takes row locks.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import event, func, select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from wirewright.coordinator.clock import Clock, wall_clock
from wirewright.coordinator.errors import UnavailableError
from wirewright.coordinator.storage.bulletin import CHANNEL, Bulletin
from wirewright.coordinator.storage.failures import Failure, classify, refusal
from wirewright.coordinator.storage.schema import migrate
from wirewright.coordinator.storage.urls import DatabaseUrl

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.ext.asyncio import AsyncEngine

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS: Final = 12
"""How often one piece of work is tried."""
_LONGEST_PAUSE: Final = 0.5
"""Seconds between two attempts, at most; the pause doubles from a hundredth of it, with jitter."""
CONNECTIONS: Final = 10
"""Connections of one process to the database."""
_PATIENCE: Final = 15
"""Seconds that a piece of work waits for a connection, a lock or a statement."""


@dataclass(slots=True)
class Transaction:
    """One transaction: its session, its time (µs), and whom it will have to wake."""

    session: AsyncSession
    now: int
    dialect: str
    touched: set[str] = field(default_factory=set)

    def touch(self, topic: str) -> None:
        """Wake those who follow ``topic`` once this is committed."""
        self.touched.add(topic)


@dataclass(slots=True)
class Storage:
    """A database and those who want to hear of its changes."""

    engine: AsyncEngine
    url: DatabaseUrl
    clock: Clock = wall_clock
    bulletin: Bulletin = field(default_factory=Bulletin)
    repeated: int = 0
    """Attempts that had to be repeated, since the start."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _at_work: set[asyncio.Future[Any]] = field(default_factory=set)
    """Reads and writes, whether somebody waits for them or not."""

    @classmethod
    def open(cls, url: str, *, clock: Clock = wall_clock) -> Storage:
        """Prepare a database: ``sqlite:///PATH`` or ``postgresql://…``; nothing is connected yet.

        Raises `DatabaseUrlError` for any other address.
        """
        parsed = DatabaseUrl.parse(url)
        return cls(_sqlite(parsed) if parsed.is_sqlite else _postgresql(parsed), parsed, clock)

    async def migrate(self, revision: str = "head") -> None:
        """Bring the tables to ``revision``; replicas that do it at once wait for each other."""
        await self._guarded(lambda: migrate(self.engine, revision))

    async def close(self) -> None:
        """Close all connections, once what is at work has ended, if that is soon."""
        if self._at_work:
            await asyncio.wait(self._at_work, timeout=_PATIENCE)
        await self.engine.dispose()

    async def read(
        self, work: Callable[Concatenate[Transaction, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run work that changes nothing.

        Who is cancelled waits for it no more, but it goes on, here as in `write`: servers of streams cancel
        again and again, and a connection that is interrupted so amid a query is lost, and its driver left
        hanging.
        """
        return await self._going_on(self._repeat(False, work, *args, **kwargs))

    async def write(
        self, work: Callable[Concatenate[Transaction, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run work that may change things, and commit it; what it touched is woken.

        Who is cancelled does not know whether it was committed, as who loses a connection does not.
        """
        return await self._going_on(self._repeat(True, work, *args, **kwargs))

    async def _going_on(self, work: Coroutine[Any, Any, T]) -> T:
        working = asyncio.ensure_future(work)
        self._at_work.add(working)
        working.add_done_callback(self._has_ended)
        return await asyncio.shield(working)

    def _has_ended(self, working: asyncio.Future[Any]) -> None:
        self._at_work.discard(working)
        if not working.cancelled():
            # What went wrong is told to who waits; if nobody does, it is nothing to the log.
            working.exception()

    async def _repeat(
        self,
        writes: bool,
        work: Callable[Concatenate[Transaction, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        pause = _LONGEST_PAUSE / 100
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._once(writes, work, *args, **kwargs)
            except (DBAPIError, PoolTimeoutError, OSError) as error:
                failure = classify(error)
                if failure is not Failure.PASSING or attempt == ATTEMPTS:
                    raise refusal(failure, error) from None
            self.repeated += 1
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, _LONGEST_PAUSE)
        raise AssertionError  # the last attempt returns or raises

    async def _once(
        self,
        writes: bool,
        work: Callable[Concatenate[Transaction, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        turn = self._turn if writes and self.url.is_sqlite else nullcontext()
        async with turn, AsyncSession(self.engine, expire_on_commit=False) as session:
            await session.connection(execution_options=self._options(writes))
            transaction = Transaction(session, self.clock(), self.engine.dialect.name)
            result = await work(transaction, *args, **kwargs)
            if not writes:
                return result
            await session.flush()
            if not self.url.is_sqlite:
                for topic in sorted(transaction.touched):
                    await session.execute(select(func.pg_notify(CHANNEL, topic)))
            await self._commit(session)
        self.bulletin.publish(*transaction.touched)
        return result

    def _options(self, writes: bool) -> dict[str, object]:
        if self.url.is_sqlite:
            return {"wirewright_writes": writes}
        # A reader sees one moment; it cannot fail to be serialized, since it writes nothing.
        return {} if writes else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    async def _commit(self, session: AsyncSession) -> None:
        try:
            await session.commit()
        except (OperationalError, InterfaceError) as error:
            if error.connection_invalidated or (
                classify(error) is Failure.PASSING and not self.url.is_sqlite
            ):
                raise UnavailableError(
                    "The connection to the database was lost while the change was being committed, so it is "
                    "unknown whether it was. Repeat the request with the same Idempotency-Key."
                ) from None
            raise

    async def _guarded(self, action: Callable[[], Awaitable[T]]) -> T:
        try:
            return await action()
        except (DBAPIError, OSError) as error:
            raise refusal(classify(error), error) from None


def _sqlite(url: DatabaseUrl) -> AsyncEngine:
    engine = create_async_engine(
        url.sqlalchemy, pool_size=CONNECTIONS, pool_timeout=_PATIENCE, connect_args={"timeout": _PATIENCE}
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: DBAPIConnection, _record: object) -> None:
        # The driver would begin transactions by itself, too late and never IMMEDIATE.
        connection.isolation_level = None
        try:
            cursor = connection.cursor()
            # FULL: what was acknowledged survives a loss of power.
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "trusted_schema=OFF"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()
        except BaseException:
            # Nobody else knows of it yet.
            connection.close()
            raise

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:  # noqa: ANN401 (an event's argument)
        options = connection.get_execution_options()
        writes = options.get("wirewright_writes", True)
        # A migration that makes a table anew would otherwise take what refers to the old one along.
        keys = "OFF" if options.get("wirewright_migrates", False) else "ON"
        connection.exec_driver_sql(f"PRAGMA foreign_keys={keys}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: DatabaseUrl) -> AsyncEngine:
    return create_async_engine(
        url.sqlalchemy,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=_PATIENCE,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": _PATIENCE,
            "options": f"-c statement_timeout={_PATIENCE}s -c lock_timeout={_PATIENCE}s -c timezone=UTC"
            f" -c idle_in_transaction_session_timeout={2 * _PATIENCE}s",
            "application_name": "wirewright",
        },
    )
