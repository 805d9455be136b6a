"""Both ways to learn that the core has events."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.tunnel.pairs import SERVER_V4, joined
from tests.tunnel.test_streams import echo
from wirewright.tunnel import waker
from wirewright.tunnel.waker import ReaderWaker, ThreadWaker, wake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.anyio
Kind = type[ReaderWaker] | type[ThreadWaker]


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    receiver, sender = socket.socketpair()
    receiver.setblocking(False)
    with receiver, sender:
        yield receiver, sender


@pytest.fixture(params=[ReaderWaker, ThreadWaker])
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


async def test_it_wakes_while_the_descriptor_is_readable(
    ends: tuple[socket.socket, socket.socket], kind: Kind
) -> None:
    receiver, sender = ends
    woken: asyncio.Queue[bytes] = asyncio.Queue()
    made = kind(asyncio.get_running_loop(), receiver.fileno(), lambda: woken.put_nowait(receiver.recv(1)))
    # Level-triggered: the second byte needs no second arrival.
    sender.send(b"ab")
    assert [await woken.get(), await woken.get()] == [b"a", b"b"]
    sender.send(b"c")
    assert await woken.get() == b"c"
    made.stop()
    made.stop()


async def test_a_stopped_waker_is_silent(ends: tuple[socket.socket, socket.socket], kind: Kind) -> None:
    receiver, sender = ends
    woken: list[bytes] = []
    made = kind(asyncio.get_running_loop(), receiver.fileno(), lambda: woken.append(receiver.recv(1)))
    sender.send(b"a")
    made.stop()
    await asyncio.sleep(0.01)
    assert woken == []
    assert receiver.recv(1) == b"a"


async def test_the_thread_ends_with_its_waker(ends: tuple[socket.socket, socket.socket]) -> None:
    made = ThreadWaker(asyncio.get_running_loop(), ends[0].fileno(), lambda: None)
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("wirewright-waker") == 1
    made.stop()
    assert "wirewright-waker" not in [thread.name for thread in threading.enumerate()]


async def test_a_callback_that_fails_is_called_again(ends: tuple[socket.socket, socket.socket]) -> None:
    receiver, sender = ends
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    received: asyncio.Future[bytes] = loop.create_future()
    calls: list[int] = []

    def callback() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("once")
        received.set_result(receiver.recv(1))

    made = ThreadWaker(loop, receiver.fileno(), callback)
    sender.send(b"a")
    assert await received == b"a"
    made.stop()


async def test_a_loop_that_cannot_watch_descriptors_gets_a_thread(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()

    def refuse(*arguments: Any) -> None:
        raise NotImplementedError

    made = wake(loop, ends[0].fileno(), lambda: None)
    assert type(made) is ReaderWaker
    made.stop()
    monkeypatch.setattr(loop, "add_reader", refuse)
    made = wake(loop, ends[0].fileno(), lambda: None)
    assert type(made) is ThreadWaker
    made.stop()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_loop_closed_under_the_thread_ends_it(ends: tuple[socket.socket, socket.socket]) -> None:
    loop = asyncio.new_event_loop()
    made = ThreadWaker(loop, ends[0].fileno(), lambda: None)
    loop.close()
    ends[1].send(b"a")
    await asyncio.to_thread(made._thread.join, 5)
    assert not made._thread.is_alive()
    made.stop()


async def test_a_tunnel_works_with_the_thread(core: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_thread(loop: asyncio.AbstractEventLoop, descriptor: int, callback: Callable[[], None]) -> Any:
        return ThreadWaker(loop, descriptor, callback)

    assert waker.wake is wake
    monkeypatch.setattr("wirewright.tunnel.dispatch.wake", by_thread)
    async with joined() as pair, await pair.server.start_server(echo, port=7):
        reader, writer = await pair.client.open_connection(SERVER_V4, 7)
        payload = bytes(range(256)) * 4096
        writer.write(payload)
        assert await reader.readexactly(len(payload)) == payload
        writer.close()
        await writer.wait_closed()
