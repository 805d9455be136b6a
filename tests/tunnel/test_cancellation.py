"""Whatever is cancelled leaves nothing behind, neither here nor in the core."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.tunnel.certificates import contexts
from tests.tunnel.pairs import SERVER_V4, SERVER_V6, Ends, Pair, fake, nothing_held
from tests.tunnel.test_datagrams import Inbox
from tests.tunnel.test_streams import echo
from tests.tunnel.test_transport import Recorder
from wirewright.keys import SecretKey
from wirewright.tunnel import Tunnel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lonely(core: str) -> AsyncIterator[Tunnel]:
    """A tunnel whose peer does not answer: whatever is begun stays under way."""
    config = Ends().client_config("127.0.0.1", 9)
    async with Tunnel(config, listen_address="127.0.0.1") as tunnel:
        yield tunnel


ATTEMPTS: dict[str, Callable[[Tunnel], Coroutine[Any, Any, object]]] = {
    "open_connection": lambda tunnel: tunnel.open_connection(SERVER_V4, 80),
    "create_connection": lambda tunnel: tunnel.create_connection(asyncio.Protocol, SERVER_V6, 80),
    "ping": lambda tunnel: tunnel.ping(SERVER_V4),
    "resolve": lambda tunnel: tunnel.resolve("host"),
    "connect to a name": lambda tunnel: tunnel.open_connection("host", 80),
    "wait_for_handshake": lambda tunnel: tunnel.wait_for_handshake(),
}


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS.keys())
async def test_an_attempt_cancelled_under_way_leaves_nothing(
    lonely: Tunnel, attempt: Callable[[Tunnel], Coroutine[Any, Any, object]]
) -> None:
    task = asyncio.ensure_future(attempt(lonely))
    # Names begin with the import of dnspython in a thread; everything else is under way at once.
    for _ in range(3):
        await asyncio.sleep(0)
    if attempt is ATTEMPTS["resolve"]:
        assert lonely._context is not None
        while not len(lonely._context.dispatcher):  # noqa: ASYNC110 (there is no event for it)
            await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await nothing_held(lonely)


@pytest.mark.parametrize("steps", range(8))
async def test_a_connect_cancelled_at_any_step_leaves_nothing(pair: Pair, steps: int) -> None:
    async with await pair.server.start_server(echo, port=7) as server:
        task = asyncio.ensure_future(pair.client.open_connection(SERVER_V4, 7))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        try:
            _, writer = await task
        except asyncio.CancelledError:
            pass
        else:
            writer.transport.abort()
        await nothing_held(pair.client)
        # Everything the server saw ends with the client.
        server.close()
        await server.wait_closed()
        await nothing_held(pair.server)


@pytest.mark.parametrize("steps", range(4))
async def test_starting_servers_and_sockets_cancelled_at_any_step_leaves_nothing(
    pair: Pair, steps: int
) -> None:
    starting: list[Coroutine[Any, Any, Any]] = [
        pair.server.start_server(echo, port=7),
        pair.server.create_datagram_endpoint(Inbox, remote_addr=(SERVER_V4, 53)),
    ]
    for each in starting:
        task = asyncio.ensure_future(each)
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        try:
            made = await task
        except asyncio.CancelledError:
            continue
        (made[0] if isinstance(made, tuple) else made).close()
    await nothing_held(pair.server)


async def test_a_timeout_of_the_caller_is_a_cancellation(lonely: Tunnel) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await lonely.open_connection(SERVER_V4, 80)
    await nothing_held(lonely)


async def test_opening_cancelled_while_a_name_is_looked_up_starts_no_core(
    core: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = asyncio.Event()

    async def never(loop: object, host: str, family: object) -> list[str]:
        looking.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("wirewright.tunnel.endpoints.system_lookup", never)
    tunnel = Tunnel(Ends().client_config("vpn.example", 51820), listen_address="127.0.0.1")
    task = asyncio.ensure_future(tunnel.open())
    await looking.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(RuntimeError, match="not open"):
        _ = tunnel.listen_port


async def test_closing_a_tunnel_that_is_cancelled_closes_it_all_the_same(core: str, fake_core: None) -> None:
    tunnel = Tunnel(Ends().server_config(), listen_address="127.0.0.1")
    await tunnel.open()
    assert tunnel._context is not None
    tunnel._context.lingering.add(99)
    closing = asyncio.ensure_future(tunnel.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert fake(tunnel).closed
    assert tunnel.closed
    await tunnel.close()


async def test_waiting_for_a_server_to_close_can_be_cancelled(pair: Pair) -> None:
    server = await pair.server.start_server(echo, port=7)
    waiting = asyncio.ensure_future(server.wait_closed())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("change", ["add_peer", "update_peer"])
async def test_changing_peers_cancelled_while_a_name_is_looked_up_changes_nothing(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    looking = asyncio.Event()

    async def never(loop: object, host: str, family: object) -> list[str]:
        looking.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("wirewright.tunnel.endpoints.system_lookup", never)
    before = pair.client.stats().peers
    key = SecretKey.generate().public_key if change == "add_peer" else pair.server_peer
    task = asyncio.ensure_future(
        getattr(pair.client, change)(key, endpoint="vpn.example:51820", allowed_ips=["10.99.0.0/16"])
    )
    await looking.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pair.client.stats().peers == before


async def test_reading_and_draining_that_were_cancelled_go_on_where_they_were(pair: Pair) -> None:
    async with await pair.server.start_server(echo, port=7):
        reader, writer = await pair.client.open_connection(SERVER_V4, 7)
        reading = asyncio.ensure_future(reader.readexactly(5))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"

        # Nobody reads the echo, so that in the end nothing more is taken.
        writer.write(bytes(16 * 1024 * 1024))
        draining = asyncio.ensure_future(writer.drain())
        await asyncio.sleep(0)
        draining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await draining
        assert len(await reader.readexactly(16 * 1024 * 1024)) == 16 * 1024 * 1024
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    await nothing_held(pair.client)


async def test_an_upgrade_to_tls_that_is_cancelled_ends_the_connection(pair: Pair) -> None:
    silent = Recorder()
    async with await pair.server.create_server(lambda: silent, port=80):
        plain, near = await pair.client.create_connection(Recorder, SERVER_V4, 80)
        task = asyncio.ensure_future(
            pair.client.start_tls(plain, near, contexts()[1], server_hostname="secure.corp.example")
        )
        await silent.when(lambda: bool(silent.data))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await silent.lost()
        await nothing_held(pair.client)
