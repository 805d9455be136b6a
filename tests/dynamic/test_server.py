"""The server's connections in virtual time: how often, how long, and what goes on beside them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from wirewright.dynamic import LeaseServer
from wirewright.dynamic.churn import CONNECTIONS
from wirewright.dynamic.conversation import MAX_REQUESTS
from wirewright.dynamic.identity import PORT
from wirewright.dynamic.messages import RequestIp, Wish

from .worlds import World, at, key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

pytestmark = pytest.mark.anyio

REQUEST = b"request_ip=1\nipv6=\n\n"


@dataclass(eq=False)
class FakeWriter:
    """The server's end of a connection, for writing."""

    number: int
    reader: asyncio.StreamReader
    answers: int = 0
    ended: bool = False
    """Whether the server said that it says no more."""
    aborted: bool = False
    place: str = "wg0"
    said: asyncio.Event = field(default_factory=asyncio.Event)
    """Something was said since this was cleared."""

    @property
    def transport(self) -> FakeWriter:
        return self

    def get_extra_info(self, name: str) -> object:
        return (f"{at(self.number)}%{self.place}", PORT, 0, 7) if name == "peername" else None

    def write(self, data: bytes) -> None:
        self.answers += data.count(b"\n\n")
        self.said.set()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.aborted = True
        self.said.set()
        # As a transport does: whoever reads is told that the connection is lost.
        self.reader.feed_eof()

    async def drain(self) -> None:
        pass


class Listener:
    """In the place of a listening socket: connections are made by calling what it was given."""

    def __init__(self) -> None:
        self.accept: Callable[[Any, Any], Awaitable[None]] | None = None

    async def __call__(self, handler: Callable[[Any, Any], Awaitable[None]]) -> asyncio.AbstractServer:
        self.accept = handler
        return cast("asyncio.AbstractServer", self)

    def close(self) -> None:
        pass

    async def connect(self, number: int) -> None:
        """Connect and go away."""
        reader = asyncio.StreamReader()
        reader.feed_eof()
        assert self.accept is not None
        await self.accept(reader, FakeWriter(number, reader))

    def open(
        self, number: int, place: str = "wg0"
    ) -> tuple[asyncio.StreamReader, FakeWriter, asyncio.Task[None]]:
        """Connect and stay."""
        reader = asyncio.StreamReader()
        writer = FakeWriter(number, reader, place=place)
        assert self.accept is not None

        async def accept() -> None:
            assert self.accept is not None
            await self.accept(reader, writer)

        return reader, writer, asyncio.create_task(accept())


@dataclass
class Place:
    """A server, and what it stands on."""

    world: World
    listener: Listener
    server: LeaseServer


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    world, listener = World(), Listener()
    for number in range(3):
        world.peers.add(number)
    async with LeaseServer(world.service, listener) as server:
        yield Place(world, listener, server)


async def test_whoever_connects_without_end_is_refused_before_the_interface_is_read(place: Place) -> None:
    counters, before = place.server.counters, place.world.peers.views
    for _ in range(CONNECTIONS.burst + 10):
        await place.listener.connect(0)
    assert counters["refused_often"] == 10
    assert place.world.peers.views == before + CONNECTIONS.burst
    # Others are not kept out, and it comes in again with time.
    await place.listener.connect(1)
    place.world.clock.now += 2
    for _ in range(3):
        await place.listener.connect(0)
    assert counters["refused_often"] == 11
    assert counters["connections"] == CONNECTIONS.burst + 3


async def test_a_connection_ends_with_its_last_answer_however_steadily_it_asks(place: Place) -> None:
    reader, writer, task = place.listener.open(0)
    await asyncio.sleep(0)
    for answered in range(1, 4):
        place.world.clock.now += 20
        reader.feed_data(REQUEST)
        async with asyncio.timeout(10):
            await writer.said.wait()
        writer.said.clear()
        assert (writer.answers, writer.ended) == (answered, answered == 3)
    reader.feed_eof()
    await task
    assert place.server.counters["ended_long"] == 1


async def test_of_requests_that_come_at_once_so_many_are_answered(place: Place) -> None:
    reader, writer, task = place.listener.open(0)
    reader.feed_data(REQUEST * (MAX_REQUESTS + 5))
    reader.feed_eof()
    await task
    assert (writer.answers, writer.ended) == (MAX_REQUESTS, True)


async def test_a_client_that_is_here_again_from_the_same_place_takes_its_own(place: Place) -> None:
    # Its end was lost, or has not been read yet.
    _, gone, _ = place.listener.open(0)
    for _ in range(4):
        await asyncio.sleep(0)
    _, elsewhere, refused = place.listener.open(0, "wg1")
    await refused
    assert (gone.aborted, elsewhere.aborted) == (False, True)
    reader, writer, task = place.listener.open(0)
    reader.feed_data(REQUEST)
    reader.feed_eof()
    await task
    assert (gone.aborted, writer.answers) == (True, 1)
    assert (place.server.counters["refused_second"], place.server.counters["superseded"]) == (1, 1)


async def test_a_client_that_ends_by_a_reset_is_no_failure(place: Place) -> None:
    reader, writer, task = place.listener.open(0)
    reader.feed_data(REQUEST)
    async with asyncio.timeout(10):
        await writer.said.wait()
    reader.set_exception(ConnectionResetError())
    await task
    assert place.server.counters["failed_connections"] == 0


async def test_quarantines_end_however_much_is_asked_meanwhile(place: Place) -> None:
    await place.world.ask(0, RequestIp())
    await place.world.ask(0, RequestIp(ipv4=Wish.NONE, ipv6=Wish.NONE))
    quarantined = place.world.store.records.quarantined
    assert {each.key for each in quarantined.values()} == {key(0)}
    for _ in range(130):
        place.world.clock.now += 30
        # As an answer to somebody does.
        place.server._changed.set()
        for _ in range(4):
            await asyncio.sleep(0)
    assert quarantined == {}
