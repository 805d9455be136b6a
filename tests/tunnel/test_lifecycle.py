"""Opening, closing, ending: in one loop, in the wrong one, after a fork."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import traceback
from typing import TYPE_CHECKING

import pytest

from tests.tunnel.pairs import CLIENT_V4, CLIENT_V6, SERVER_V4, Ends, Pair, fake, joined
from tests.tunnel.test_datagrams import Inbox
from tests.tunnel.test_streams import echo
from tests.tunnel.test_transport import Recorder, joined_protocols
from wirewright.tunnel import BlockingTunnel, Timeouts, Tunnel, TunnelClosed
from wirewright.tunnel.forks import FORKED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio

ACTIONS = {
    *("open", "close", "from_file", "stats", "ping", "resolve", "reachable", "forward"),
    *("connect", "call", "open_connection", "create_connection", "start_tls"),
    *("start_server", "create_server", "create_datagram_endpoint"),
    *("add_peer", "update_peer", "remove_peer", "set_filter", "wait_for_handshake"),
}


async def test_a_tunnel_is_opened_from_a_file(core: str, tmp_path: Path) -> None:
    path = tmp_path / "office.conf"
    Ends().client_config("127.0.0.1", 51820).write(path)
    tunnel = Tunnel.from_file(path, listen_address="127.0.0.1")
    assert repr(tunnel) == f"<Tunnel new {CLIENT_V4}, {CLIENT_V6}>"
    async with tunnel as opened:
        assert opened is tunnel
        assert tunnel.listen_port > 0
        assert tunnel.addresses == (CLIENT_V4, CLIENT_V6)
        assert "open" in repr(tunnel)
    assert tunnel.closed
    assert "closed" in repr(tunnel)


async def test_a_tunnel_that_is_not_open_says_so(core: str) -> None:
    tunnel = Tunnel(Ends().server_config())
    with pytest.raises(RuntimeError, match="async with"):
        await tunnel.ping(CLIENT_V4)
    await tunnel.close()


async def test_a_tunnel_opens_once(core: str) -> None:
    tunnel = Tunnel(Ends().server_config(), listen_address="127.0.0.1")
    async with tunnel:
        with pytest.raises(RuntimeError, match="opened before"):
            await tunnel.open()
    with pytest.raises(RuntimeError, match="opened before"):
        await tunnel.open()


async def test_closing_twice_and_at_the_same_time_is_fine(core: str) -> None:
    tunnel = Tunnel(Ends().server_config(), listen_address="127.0.0.1")
    await tunnel.open()
    await asyncio.gather(tunnel.close(), tunnel.close())
    await tunnel.close()


async def test_a_closed_tunnel_refuses_everything(core: str) -> None:
    async with joined() as pair:
        pass
    for attempt in (
        pair.client.open_connection(SERVER_V4, 80),
        pair.client.start_server(echo),
        pair.client.create_datagram_endpoint(Inbox),
        pair.client.ping(SERVER_V4),
        pair.client.resolve("host"),
        pair.client.remove_peer(pair.server_peer),
        pair.client.wait_for_handshake(),
    ):
        with pytest.raises(TunnelClosed, match=r"^The tunnel is closed\.$") as caught:
            await attempt
        assert isinstance(caught.value, ConnectionAbortedError)
    with pytest.raises(TunnelClosed):
        pair.client.stats()


async def test_closing_ends_what_is_open_and_under_way(core: str) -> None:
    async with joined(Timeouts(linger=0.1)) as pair:
        near, far = await joined_protocols(pair)
        _, inbox = await pair.client.create_datagram_endpoint(Inbox)
        server = await pair.client.start_server(echo, port=80)
        waiting = [
            asyncio.ensure_future(pair.client.open_connection("10.9.0.77", 80)),
            asyncio.ensure_future(pair.client.ping("10.9.0.77")),
        ]
        await pair.server.ping(CLIENT_V4)
        await pair.client.close()
        assert near.calls == ["made", "lost"]
        assert isinstance(near.error, TunnelClosed)
        assert isinstance(await inbox.lost, TunnelClosed)
        assert not server.is_serving()
        for result in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(result, TunnelClosed)
        near.transport.write(b"ignored")
        near.transport.close()
        far.transport.abort()


async def test_bytes_of_a_closed_connection_arrive_though_the_tunnel_is_closed_at_once(core: str) -> None:
    received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.set_result(await reader.read())
        writer.close()

    payload = bytes(1024 * 1024)
    async with joined() as pair, await pair.server.start_server(collect, port=80):
        _, writer = await pair.client.open_connection(SERVER_V4, 80)
        writer.write(payload)
        writer.close()
        await pair.client.close()
        assert await received == payload


async def test_a_connection_that_nobody_reads_does_not_keep_the_tunnel_open(core: str) -> None:
    async with joined(Timeouts(linger=0.05)) as pair:
        far = Recorder()
        await pair.server.create_server(lambda: far, 80)
        transport, near = await pair.client.create_connection(Recorder, SERVER_V4, 80)
        await far.when(lambda: "made" in far.calls)
        far.transport.pause_reading()
        transport.write(bytes(16 * 1024 * 1024))
        transport.close()
        await asyncio.wait_for(pair.client.close(), 5)
        assert isinstance(near.error, TunnelClosed)


async def test_a_core_that_stops_tells_everybody_why(pair: Pair, fake_core: None) -> None:
    near, far = await joined_protocols(pair)
    waiting = asyncio.ensure_future(pair.client.ping("10.9.0.77"))
    await pair.client.ping(SERVER_V4)
    fake(pair.client).stop("the UDP socket failed: Bad file descriptor")
    await near.lost()
    expected = "The tunnel is closed: the UDP socket failed: Bad file descriptor."
    assert str(near.error) == expected
    with pytest.raises(TunnelClosed, match="Bad file descriptor"):
        await waiting
    with pytest.raises(TunnelClosed, match="Bad file descriptor"):
        await pair.client.ping(SERVER_V4)
    assert pair.client.closed
    await asyncio.wait_for(pair.client.close(), 1)
    far.transport.abort()


async def test_several_tunnels_live_in_one_process(core: str) -> None:
    async with joined() as one, joined() as other, await one.server.start_server(echo, port=7):
        reader, writer = await one.client.open_connection(SERVER_V4, 7)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        with pytest.raises(ConnectionRefusedError):
            await other.client.open_connection(SERVER_V4, 7)
        await other.client.close()
        writer.write(b"two")
        assert await reader.readexactly(3) == b"two"
        writer.close()
        await writer.wait_closed()


async def test_a_tunnel_used_in_another_loop_says_so(pair: Pair) -> None:
    def elsewhere() -> None:
        asyncio.run(pair.client.ping(SERVER_V4))

    with pytest.raises(RuntimeError, match="belongs to another event loop"):
        await asyncio.to_thread(elsewhere)


async def test_one_wake_serves_many_connections(core: str, fake_core: None) -> None:
    async with joined() as pair:
        opened = [await joined_protocols(pair) for _ in range(50)]
        before = fake(pair.server).drains
        for near, _ in opened:
            near.transport.write(b"x")
        for _, far in opened:
            await far.when(lambda far=far: far.data == b"x")  # type: ignore[misc]
        assert fake(pair.server).drains - before == 1
        for near, far in opened:
            near.transport.abort()
            await far.lost()


def in_child(check: Callable[[], None]) -> int:
    """Fork, run ``check`` in the child and return 0 if it raised nothing."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            check()
            status = 0
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
async def test_a_forked_child_finds_the_tunnel_closed_and_the_parent_is_unaffected(pair: Pair) -> None:
    async with await pair.server.start_server(echo, port=7):
        reader, writer = await pair.client.open_connection(SERVER_V4, 7)

        def check() -> None:
            assert pair.client.closed
            with pytest.raises(TunnelClosed, match=FORKED):
                pair.client.stats()
            for operation in (pair.client.ping(SERVER_V4), pair.client.open_connection(SERVER_V4, 7)):
                with pytest.raises(TunnelClosed, match=FORKED):
                    operation.send(None)
            with pytest.raises(StopIteration):
                pair.client.close().send(None)
            writer.write(b"from the child")

        assert in_child(check) == 0
        assert not pair.client.closed
        writer.write(b"from the parent")
        assert await reader.readexactly(15) == b"from the parent"
        await pair.client.ping(SERVER_V4)
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_importing_the_package_imports_neither_the_core_nor_dnspython() -> None:
    code = """
        import sys, wirewright
        assert not [name for name in sys.modules if name.startswith(("wirewright._core", "dns"))]
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)  # noqa: ASYNC221


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("kind", [Tunnel, BlockingTunnel])
async def test_only_what_a_user_may_call_is_public(kind: type) -> None:
    public = {name for name in dir(kind) if not name.startswith("_")}
    assert public - ACTIONS <= {"addresses", "listen_port", "closed", "tunnel"}
