"""The transport itself: flow control, half-open connections, every way to end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.tunnel.pairs import SERVER_V4, Pair, nothing_held
from wirewright.tunnel.transport import StreamTransport

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

# More than both ends' buffers hold together, on either core.
MUCH = 16 * 1024 * 1024


class Recorder(asyncio.Protocol):
    """Notes everything it is told; ``when`` waits for some of it."""

    def __init__(self, *, keep_open: bool = False) -> None:
        self.calls: list[str] = []
        self.data = bytearray()
        self.error: BaseException | None = None
        self.keep_open = keep_open
        self.transport: StreamTransport
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, StreamTransport)
        self.transport = transport
        self._note("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._changed.set()

    def eof_received(self) -> bool:
        self._note("eof")
        return self.keep_open

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.error = exc
        self._note("lost")

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self._changed.set()

    async def when(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 5)

    async def lost(self) -> None:
        await self.when(lambda: "lost" in self.calls)


class Buffered(asyncio.BufferedProtocol):
    """Receives into one buffer of its own."""

    def __init__(self) -> None:
        self.buffer = bytearray(1000)
        self.data = bytearray()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self.buffer)

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self.buffer[:nbytes]

    def connection_lost(self, exc: BaseException | None) -> None:
        self.ended.set_result(None)


async def joined_protocols(
    pair: Pair, near: Recorder | None = None, far: Recorder | None = None
) -> tuple[Recorder, Recorder]:
    """Connect two recorders."""
    accepted: asyncio.Future[Recorder] = asyncio.get_running_loop().create_future()

    def accept() -> Recorder:
        accepted.set_result(far or Recorder())
        return accepted.result()

    server = await pair.server.create_server(accept, 80)
    _, client = await pair.client.create_connection(lambda: near or Recorder(), SERVER_V4, 80)
    other = await accepted
    await other.when(lambda: "made" in other.calls)
    server.close()
    return client, other


def errors_of(loop: asyncio.AbstractEventLoop) -> list[dict[str, Any]]:
    """Collect what the loop would log."""
    errors: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    return errors


async def test_a_protocol_is_made_fed_and_lost_in_order(pair: Pair) -> None:
    near, far = await joined_protocols(pair)
    near.transport.write(b"data")
    await far.when(lambda: far.data == b"data")
    near.transport.close()
    await asyncio.gather(near.lost(), far.lost())
    assert near.calls == ["made", "lost"]
    assert far.calls == ["made", "eof", "lost"]
    assert near.error is None
    assert far.error is None


async def test_a_protocol_that_keeps_the_connection_open_writes_on_after_the_end_of_input(pair: Pair) -> None:
    near, far = await joined_protocols(pair, far=Recorder(keep_open=True))
    assert near.transport.can_write_eof()
    near.transport.write_eof()
    near.transport.write_eof()
    await far.when(lambda: "eof" in far.calls)
    assert not far.transport.is_closing()
    far.transport.write(b"answer")
    await near.when(lambda: near.data == b"answer")
    with pytest.raises(RuntimeError, match="after write_eof"):
        near.transport.write(b"more")
    far.transport.close()
    await asyncio.gather(near.lost(), far.lost())


async def test_the_end_of_input_follows_what_was_buffered(pair: Pair) -> None:
    near, far = await joined_protocols(pair)
    near.transport.write(bytes(MUCH))
    near.transport.write_eof()
    assert near.transport.get_write_buffer_size() > 0
    await far.when(lambda: "eof" in far.calls)
    assert len(far.data) == MUCH
    near.transport.close()
    await near.lost()


async def test_closing_delivers_what_was_buffered(pair: Pair) -> None:
    near, far = await joined_protocols(pair)
    near.transport.write(bytes(MUCH))
    near.transport.close()
    near.transport.close()
    assert near.transport.is_closing()
    near.transport.write(b"ignored")
    await asyncio.gather(near.lost(), far.lost())
    assert len(far.data) == MUCH
    assert near.error is None


async def test_abort_resets_the_other_end(pair: Pair) -> None:
    near, far = await joined_protocols(pair)
    near.transport.abort()
    near.transport.abort()
    await asyncio.gather(near.lost(), far.lost())
    assert near.error is None
    assert isinstance(far.error, ConnectionResetError)
    await nothing_held(pair.client)


async def test_a_protocol_is_paused_above_the_high_mark_and_resumed_below_the_low_one(pair: Pair) -> None:
    near, far = await joined_protocols(pair)
    far.transport.pause_reading()
    near.transport.set_write_buffer_limits(high=100_000)
    assert near.transport.get_write_buffer_limits() == (25_000, 100_000)
    near.transport.write(bytes(MUCH))
    assert near.calls == ["made", "pause"]
    far.transport.resume_reading()
    await near.when(lambda: "resume" in near.calls)
    await far.when(lambda: len(far.data) == MUCH)
    assert near.calls == ["made", "pause", "resume"]
    near.transport.close()
    await asyncio.gather(near.lost(), far.lost())


async def test_lowering_the_limits_pauses_at_once(pair: Pair) -> None:
    near, far = await joined_protocols(pair)
    far.transport.pause_reading()
    near.transport.set_write_buffer_limits(high=2 * MUCH)
    near.transport.write(bytes(MUCH))
    assert near.calls == ["made"]
    near.transport.set_write_buffer_limits(high=0)
    assert near.calls == ["made", "pause"]
    with pytest.raises(ValueError, match="must be >="):
        near.transport.set_write_buffer_limits(high=1, low=2)
    near.transport.abort()
    await near.lost()


async def test_nothing_is_delivered_while_reading_is_paused(pair: Pair) -> None:
    near, far = await joined_protocols(pair)
    far.transport.pause_reading()
    far.transport.pause_reading()
    assert not far.transport.is_reading()
    near.transport.write(b"early")
    # The way back works meanwhile, so what went forth has arrived by now.
    far.transport.write(b"token")
    await near.when(lambda: near.data == b"token")
    assert far.data == b""
    far.transport.resume_reading()
    assert far.transport.is_reading()
    await far.when(lambda: far.data == b"early")
    near.transport.abort()
    await near.lost()


async def test_a_reader_that_does_not_read_stops_the_writer(pair: Pair) -> None:
    near, far = await joined_protocols(pair)
    far.transport.pause_reading()
    near.transport.write(bytes(MUCH))
    held = near.transport.get_write_buffer_size()
    for _ in range(20):
        await pair.client.ping(SERVER_V4)
        before, held = held, near.transport.get_write_buffer_size()
    assert held == before > 0, "the writer goes on though nobody reads"
    near.transport.abort()
    await near.lost()


async def test_what_came_before_a_reset_is_still_read(pair: Pair, fake_core: None) -> None:
    near, far = await joined_protocols(pair)
    near.transport.pause_reading()
    far.transport.write(b"last words")
    far.transport.abort()
    await far.lost()
    await pair.client.ping(SERVER_V4)
    assert near.calls == ["made"]
    near.transport.resume_reading()
    await near.lost()
    assert near.data == b"last words"
    assert isinstance(near.error, ConnectionResetError)
    assert SERVER_V4 in str(near.error)


async def test_a_buffered_protocol_receives_into_its_own_buffer(pair: Pair) -> None:
    far = Recorder()
    async with await pair.server.create_server(lambda: far, 80):
        transport, near = await pair.client.create_connection(Buffered, SERVER_V4, 80)
        await far.when(lambda: "made" in far.calls)
        far.transport.write(bytes(range(250)) * 20)
        far.transport.close()
        await near.ended
        assert near.data == bytes(range(250)) * 20
        assert transport.is_closing()


async def test_the_protocol_can_be_exchanged(pair: Pair) -> None:
    near, far = await joined_protocols(pair)
    second = Buffered()
    near.transport.set_protocol(second)
    assert near.transport.get_protocol() is second
    far.transport.write(b"for the second")
    far.transport.close()
    await second.ended
    assert second.data == b"for the second"
    assert near.data == b""


async def test_only_bytes_can_be_written(pair: Pair) -> None:
    near, _ = await joined_protocols(pair)
    with pytest.raises(TypeError, match="encode text first"):
        near.transport.write("text")  # type: ignore[arg-type]
    near.transport.write(b"")
    near.transport.abort()
    await near.lost()


async def test_a_buffer_that_changes_after_write_is_sent_as_it_was(pair: Pair) -> None:
    near, far = await joined_protocols(pair)
    data = bytearray(b"a" * MUCH)
    near.transport.write(data)
    data[:] = b"b" * MUCH
    await far.when(lambda: len(far.data) == MUCH)
    assert set(far.data) == {ord("a")}
    near.transport.abort()
    await near.lost()


async def test_a_protocol_that_throws_loses_its_connection_and_no_other(pair: Pair) -> None:
    class Thrower(Recorder):
        def data_received(self, data: bytes) -> None:
            raise ValueError("cannot parse")

    errors = errors_of(asyncio.get_running_loop())
    near, far = await joined_protocols(pair, near=Thrower())
    healthy, healthy_far = await joined_protocols(pair)
    far.transport.write(b"x")
    await asyncio.gather(near.lost(), far.lost())
    assert isinstance(near.error, ValueError)
    assert isinstance(far.error, ConnectionResetError)
    assert [str(error["exception"]) for error in errors] == ["cannot parse"]
    healthy_far.transport.write(b"fine")
    await healthy.when(lambda: healthy.data == b"fine")
    healthy.transport.abort()
    await healthy.lost()


async def test_repr_tells_state_and_peer(pair: Pair) -> None:
    near, _ = await joined_protocols(pair)
    assert repr(near.transport) == "<StreamTransport open 10.9.0.2 port 80, 0 bytes to write>"
    near.transport.abort()
    await near.lost()
    assert "lost" in repr(near.transport)
