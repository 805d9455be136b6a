"""Runs in a host, without privileges: drivers of databases that connect through a rootless tunnel."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import redis.asyncio
import redis.exceptions

from wirewright import Tunnel

if TYPE_CHECKING:
    from wirewright.tunnel.forward import LocalAddress

PASSWORD = "correct-horse"
PIECES, PIECE = 64, bytes(range(256)) * 512


@asynccontextmanager
async def connected(address: LocalAddress) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(
        host="db",
        hostaddr=address.host,
        port=address.port,
        user="ann",
        password=PASSWORD,
        dbname="postgres",
        autocommit=True,
    ) as connection:
        yield connection


async def value(connection: psycopg.AsyncConnection[Any], query: str) -> Any:
    row = await (await connection.execute(query)).fetchone()
    assert row is not None
    return row[0]


async def megabytes(tunnel: Tunnel) -> None:
    """Copy eight megabytes in and out."""
    async with tunnel.forward("db:5432") as address, connected(address) as connection:
        await connection.execute("CREATE TABLE pieces (number int, content bytea)")
        async with connection.cursor() as cursor:
            async with cursor.copy("COPY pieces FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(["int4", "bytea"])
                for number in range(PIECES):
                    await copy.write_row((number, PIECE))
            sent = hashlib.sha256(PIECE * PIECES).digest()
            assert (
                await value(connection, "SELECT sha256(string_agg(content, ''::bytea)) FROM pieces") == sent
            )
            read = hashlib.sha256()
            async with cursor.copy("COPY pieces TO STDOUT (FORMAT binary)") as copy:
                copy.set_types(["int4", "bytea"])
                async for _, content in copy.rows():
                    read.update(content)
            assert read.digest() == sent


async def crowd(tunnel: Tunnel) -> None:
    """Have thirty connections at once."""
    async with tunnel.forward("db:5432") as address:
        meeting = asyncio.Barrier(30)

        async def one(number: int) -> int:
            async with connected(address) as connection:
                await meeting.wait()
                return int(await value(connection, f"SELECT {number} FROM pg_sleep(0.1)"))

        assert await asyncio.gather(*map(one, range(30))) == list(range(30))


async def cancelled(tunnel: Tunnel) -> None:
    """Cancel a query, which a second connection of the driver's own does."""
    async with tunnel.forward("db:5432") as address, connected(address) as connection:
        query = asyncio.create_task(connection.execute("SELECT pg_sleep(1000)"))
        async with connected(address) as other:
            running = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(1000)'"
            while not await value(other, running):  # noqa: ASYNC110 (no event tells)
                await asyncio.sleep(0.01)
        await connection.cancel_safe()
        try:
            await query
        except psycopg.errors.QueryCanceled:
            assert await value(connection, "SELECT 1") == 1
        else:
            raise AssertionError("the query was not cancelled")


async def told(tunnel: Tunnel) -> None:
    """Hear of what another connection says, while nothing is sent."""
    async with tunnel.forward("db:5432") as address:
        async with connected(address) as listener, connected(address) as speaker:
            await listener.execute("LISTEN news")
            await speaker.execute("NOTIFY news, 'hello'")
            async for notice in listener.notifies(stop_after=1):
                assert notice.payload == "hello"


async def ended(tunnel: Tunnel) -> None:
    """Connections end with the block, and the driver is told."""
    async with tunnel.forward("db:5432") as address:
        connection = await psycopg.AsyncConnection.connect(
            f"host={address.host} port={address.port} user=ann password={PASSWORD} dbname=postgres"
        )
        assert await value(connection, "SELECT 1") == 1
    try:
        await connection.execute("SELECT 1")
    except psycopg.OperationalError:
        await connection.close()
    else:
        raise AssertionError("it goes on")


async def refused(tunnel: Tunnel) -> None:
    """Where nobody listens, the driver is told."""
    async with tunnel.forward("nobody:5433") as address:
        try:
            async with connected(address):
                raise AssertionError("it connects")
        except psycopg.OperationalError:
            pass


async def cached(tunnel: Tunnel) -> None:
    """Set, get, megabytes, a row of commands at once, and a queue that is waited for."""
    async with tunnel.forward("cache:6379") as address:
        async with redis.asyncio.Redis(host=address.host, port=address.port, password=PASSWORD) as client:
            whole = PIECE * PIECES
            await client.set("whole", whole)
            assert await client.get("whole") == whole
            async with client.pipeline(transaction=True) as row:
                for _ in range(1000):
                    row.incr("count")
                assert (await row.execute())[-1] == 1000
            waiting = asyncio.create_task(_of(client.blpop(["queue"])))
            await _of(client.rpush("queue", "work"))
            assert list(await waiting) == [b"queue", b"work"]


async def published(tunnel: Tunnel) -> None:
    """Hear what another client publishes."""
    async with tunnel.forward("cache:6379") as address:
        async with (
            redis.asyncio.Redis(host=address.host, port=address.port, password=PASSWORD) as client,
            client.pubsub() as hearing,
        ):
            await hearing.subscribe("news")
            assert (await hearing.get_message(timeout=20) or {})["type"] == "subscribe"
            await client.publish("news", "hello")
            assert (await hearing.get_message(timeout=20) or {})["data"] == b"hello"


async def wrong_password(tunnel: Tunnel) -> None:
    """The server's own answers come back."""
    async with tunnel.forward("cache:6379") as address:
        async with redis.asyncio.Redis(host=address.host, port=address.port, password="wrong") as client:
            try:
                await client.get("whole")
            except redis.exceptions.AuthenticationError:
                return
    raise AssertionError("it was let in")


async def _of(answer: Any) -> Any:
    """Await what the driver types as either a value or a future."""
    return await answer


WHAT: tuple[Callable[[Tunnel], Awaitable[None]], ...] = (
    megabytes,
    crowd,
    cancelled,
    told,
    ended,
    refused,
    cached,
    published,
    wrong_password,
)


async def main(configuration: str) -> None:
    async with Tunnel.from_file(configuration) as tunnel:
        for each in WHAT:
            async with asyncio.timeout(60):
                await each(tunnel)
            sys.stdout.write(f"{each.__name__}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
