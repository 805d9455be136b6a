"""A port of the loopback that leads through the tunnel."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from tests.tunnel.pairs import SERVER_V4, SERVER_V6, nothing_held
from tests.tunnel.test_streams import echo
from wirewright.tunnel import BlockingTunnel, Tunnel, TunnelClosed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.tunnel.pairs import Pair

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def connected(
    address: tuple[str, int],
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*address)
    try:
        async with asyncio.timeout(20):
            yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.mark.parametrize("remote", [f"{SERVER_V4}:7", (SERVER_V6, 7), f"[{SERVER_V6}]:7"])
async def test_a_forward_leads_to_the_port_behind_the_tunnel(
    pair: Pair, remote: str | tuple[str, int]
) -> None:
    async with await pair.server.start_server(echo, port=7), pair.client.forward(remote) as address:
        assert address == (address.host, address.port) == ("127.0.0.1", address.port)
        assert str(address) == f"127.0.0.1:{address.port}"
        async with connected(address) as (reader, writer):
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
    await nothing_held(pair.client)


async def test_nobody_listens_after_the_block(pair: Pair) -> None:
    async with pair.client.forward(f"{SERVER_V4}:7", host="::1") as address:
        assert str(address) == f"[::1]:{address.port}"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)


async def test_megabytes_go_both_ways_whole_and_in_order(pair: Pair) -> None:
    payload = bytes(range(256)) * 16 * 1024
    async with await pair.server.start_server(echo, port=7), pair.client.forward((SERVER_V4, 7)) as address:
        async with connected(address) as (reader, writer):

            async def send() -> None:
                writer.write(payload)
                writer.write_eof()

            _, received = await asyncio.gather(send(), reader.read(-1))
            assert received == payload


async def test_the_end_of_what_a_client_sends_is_passed_on_and_the_answer_still_comes(pair: Pair) -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whole = await reader.read(-1)
        writer.write(b"%d" % len(whole))
        writer.close()

    async with await pair.server.start_server(count, port=9), pair.client.forward((SERVER_V4, 9)) as address:
        async with connected(address) as (reader, writer):
            writer.write(b"x" * 1000)
            writer.write_eof()
            assert await reader.read(-1) == b"1000"
    await nothing_held(pair.client)


async def test_the_end_of_what_a_server_sends_is_passed_on_and_the_client_may_go_on(pair: Pair) -> None:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.write_eof()
        heard.set_result(await reader.read(-1))
        writer.close()

    async with await pair.server.start_server(greet, port=9), pair.client.forward((SERVER_V4, 9)) as address:
        async with connected(address) as (reader, writer):
            assert await reader.read(-1) == b"bye"
            writer.write(b"not yet")
            writer.write_eof()
            assert await heard == b"not yet"


async def test_a_reset_is_passed_on_from_the_client(pair: Pair) -> None:
    ended: asyncio.Future[type[BaseException]] = asyncio.get_running_loop().create_future()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"!")
        try:
            await reader.read(-1)
        except OSError as error:
            ended.set_result(type(error))
        writer.close()

    async with await pair.server.start_server(wait, port=9), pair.client.forward((SERVER_V4, 9)) as address:
        reader, writer = await asyncio.open_connection(*address)
        await reader.readexactly(1)
        held = writer.get_extra_info("socket")
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        async with asyncio.timeout(10):
            assert issubclass(await ended, ConnectionResetError)


async def test_a_reset_is_passed_on_from_the_server(pair: Pair) -> None:
    async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.transport.abort()

    async with await pair.server.start_server(slam, port=9), pair.client.forward((SERVER_V4, 9)) as address:
        async with connected(address) as (reader, writer):
            writer.write(b"x")
            with pytest.raises(ConnectionResetError):
                await reader.read(-1)
    await nothing_held(pair.client)


async def test_a_destination_that_refuses_resets_the_client(pair: Pair) -> None:
    async with pair.client.forward((SERVER_V4, 9)) as address, connected(address) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)
    await nothing_held(pair.client)


async def test_who_does_not_read_slows_the_sender_down(pair: Pair) -> None:
    """Megabytes are written by a server, and neither this machine nor the tunnel takes them all."""
    taken = 0
    stuck = asyncio.Event()

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        with contextlib.suppress(OSError):
            while taken < 256 << 20:
                writer.write(bytes(1 << 20))
                try:
                    async with asyncio.timeout(2):
                        await writer.drain()
                except TimeoutError:
                    stuck.set()
                    await writer.drain()
                taken += 1 << 20

    async with await pair.server.start_server(pour, port=9), pair.client.forward((SERVER_V4, 9)) as address:
        with socket.socket() as idle:
            idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            idle.setblocking(False)
            await asyncio.get_running_loop().sock_connect(idle, address)
            async with asyncio.timeout(30):
                await stuck.wait()
            assert taken < 64 << 20
    await nothing_held(pair.client)


async def test_connections_beyond_the_limit_are_reset_and_room_comes_back(pair: Pair) -> None:
    async with (
        await pair.server.start_server(echo, port=7),
        pair.client.forward((SERVER_V4, 7), connections=2) as address,
    ):
        async with connected(address) as first, connected(address) as second:
            for reader, writer in (first, second):
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
            async with connected(address) as (reader, _):
                with pytest.raises(ConnectionResetError):
                    await reader.read(1)
        await nothing_held(pair.client)
        async with connected(address) as (reader, writer):
            writer.write(b"y")
            assert await reader.readexactly(1) == b"y"


async def test_the_end_of_the_block_resets_connections(pair: Pair) -> None:
    async with await pair.server.start_server(echo, port=7):
        async with pair.client.forward((SERVER_V4, 7)) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"x")
            await reader.readexactly(1)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()
    await nothing_held(pair.client)


async def test_closing_the_tunnel_ends_its_forwards(pair: Pair) -> None:
    async with await pair.server.start_server(echo, port=7), pair.client.forward((SERVER_V4, 7)) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"x")
        await reader.readexactly(1)
        await pair.client.close()
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)
        with pytest.raises(TunnelClosed):
            pair.client.forward((SERVER_V4, 7))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "localhost", ""])
async def test_a_forward_listens_on_the_loopback_only(pair: Pair, host: str) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        async with pair.client.forward((SERVER_V4, 7), host=host):
            pass


@pytest.mark.parametrize("remote", ["db", "db:", ":5432", "db:0", "db:70000", "fd09::2:x", ("db", 0)])
async def test_a_destination_that_is_none_is_refused_at_once(
    pair: Pair, remote: str | tuple[str, int]
) -> None:
    with pytest.raises(ValueError, match="write host:port"):
        async with pair.client.forward(remote):
            pass


async def test_a_tunnel_that_is_not_open_forwards_nothing(pair: Pair) -> None:
    with pytest.raises(RuntimeError, match="not open"):
        Tunnel(pair.ends.client_config(None)).forward("db:5432")


async def test_a_blocking_tunnel_forwards_for_other_threads(pair: Pair) -> None:
    def ask() -> bytes:
        config = pair.ends.client_config("127.0.0.1", pair.server.listen_port)
        with (
            BlockingTunnel(config, listen_address="127.0.0.1") as tunnel,
            tunnel.forward((SERVER_V4, 7)) as address,
            socket.create_connection(address) as connection,
        ):
            connection.sendall(b"hello")
            return connection.recv(5, socket.MSG_WAITALL)

    await pair.client.close()
    async with await pair.server.start_server(echo, port=7):
        assert await asyncio.to_thread(ask) == b"hello"


async def test_a_blocking_tunnel_that_closes_ends_its_forward(pair: Pair) -> None:
    def ask() -> None:
        config = pair.ends.client_config("127.0.0.1", pair.server.listen_port)
        with BlockingTunnel(config, listen_address="127.0.0.1") as tunnel:
            with tunnel.forward((SERVER_V4, 7)) as address:
                tunnel.close()
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(address)

    await asyncio.to_thread(ask)
