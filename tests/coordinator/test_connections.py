"""Connections that ask nothing end, and one source has not all of them. Time is virtual."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from wirewright.coordinator import connections
from wirewright.coordinator.connections import KEEP_ALIVE, OF_ONE, PATIENCE, Sources, bounded

from .served import served

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Storage

pytestmark = pytest.mark.anyio

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass
class Timer:
    at: float
    call: Callable[[], None]

    def cancel(self) -> None:
        self.at = float("inf")


@dataclass
class Loop:
    """An event loop with a clock that a test moves."""

    now: float = 0
    timers: list[Timer] = field(default_factory=list)

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + seconds, call))
        return self.timers[-1]

    def create_task(self, *args: Any, **keywords: Any) -> Any:
        return asyncio.get_running_loop().create_task(*args, **keywords)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for timer in [timer for timer in self.timers if timer.at <= self.now]:
            timer.cancel()
            timer.call()


class Transport(asyncio.Transport):
    def __init__(self, source: str) -> None:
        super().__init__({"peername": (source, 1)})
        self.written, self.closed = b"", False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class Server:
    """The protocol, with an application that answers when it is told to."""

    def __init__(self, sources: Sources | None = None) -> None:
        self.loop, self.state, self.answer = Loop(), ServerState(), asyncio.Semaphore(0)
        self.config = uvicorn.Config(
            self.app,
            http=bounded(sources or Sources()),
            interface="asgi3",
            lifespan="off",
            log_config=None,
            timeout_keep_alive=KEEP_ALIVE,
            ws="none",
        )
        self.config.load()

    async def app(self, _scope: Any, _receive: Any, send: Any) -> None:
        await self.answer.acquire()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def connect(self, source: str = "192.0.2.1") -> tuple[Any, Transport]:
        made: Any = self.config.http_protocol_class
        protocol = made(config=self.config, server_state=self.state, app_state={}, _loop=self.loop)
        transport = Transport(source)
        protocol.connection_made(transport)
        return protocol, transport

    async def answered(self) -> None:
        tasks = list(self.state.tasks)
        self.answer.release()
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("sent", [b"", REQUEST[:-2]])
async def test_a_connection_that_asks_nothing_ends(sent: bytes) -> None:
    server = Server()
    protocol, transport = server.connect()
    for _ in range(PATIENCE - 1):
        server.loop.pass_time(1)
        if sent:
            protocol.data_received(sent[:1])
            sent = sent[1:]
    assert not transport.closed
    server.loop.pass_time(1)
    assert transport.closed


async def test_what_is_being_answered_may_last() -> None:
    server = Server()
    protocol, transport = server.connect()
    server.loop.pass_time(PATIENCE - 1)
    protocol.data_received(REQUEST)
    server.loop.pass_time(86400)
    assert not transport.closed
    await server.answered()
    assert b"204" in transport.written
    assert not transport.closed


async def test_after_an_answer_another_request_is_due() -> None:
    server = Server()
    protocol, transport = server.connect()
    protocol.data_received(REQUEST)
    await server.answered()
    # uvicorn's own patience ends with any byte.
    server.loop.pass_time(KEEP_ALIVE - 1)
    protocol.data_received(REQUEST[:1])
    server.loop.pass_time(PATIENCE)
    assert not transport.closed
    server.loop.pass_time(1)
    assert transport.closed


async def test_a_request_that_waited_for_the_answer_before_it_may_last_too() -> None:
    server = Server()
    protocol, transport = server.connect()
    protocol.data_received(REQUEST + REQUEST)
    await server.answered()
    server.loop.pass_time(86400)
    assert not transport.closed
    await server.answered()
    assert transport.written.count(b"204") == 2


@pytest.mark.parametrize(("one", "other"), [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8:0:1::1")])
async def test_one_source_has_not_all_connections(one: str, other: str) -> None:
    server = Server()
    made = [server.connect(one) for _ in range(OF_ONE + 1)]
    assert [transport.closed for _, transport in made] == [False] * OF_ONE + [True]
    assert not server.connect(other)[1].closed
    # Those that ended count no longer: the one that was refused, and another.
    for protocol, _ in made[-2:]:
        protocol.connection_lost(None)
    assert [server.connect(one)[1].closed for _ in range(2)] == [False, True]


async def test_behind_a_proxy_all_are_one_source() -> None:
    server = Server(Sources(None))
    assert not any(server.connect()[1].closed for _ in range(OF_ONE + 1))


async def test_the_server_ends_connections_that_ask_nothing(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PATIENCE", 0)
    async with served(storage) as url, asyncio.timeout(10):
        host, _, port = url.removeprefix("http://").partition("/")[0].partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
