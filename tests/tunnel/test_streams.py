"""Connections as asyncio's genuine streams."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.tunnel.pairs import CLIENT_V4, SERVER_V4, SERVER_V6

if TYPE_CHECKING:
    from tests.tunnel.pairs import Pair

pytestmark = pytest.mark.anyio


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes; a client that resets the connection is no fault of ours."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("host", [SERVER_V4, SERVER_V6, f"[{SERVER_V6}]"])
async def test_what_is_written_comes_back_over_ipv4_and_ipv6(pair: Pair, host: str) -> None:
    async with await pair.server.start_server(echo, port=7) as server:
        assert server.is_serving()
        reader, writer = await pair.client.open_connection(host, 7)
        assert type(reader) is asyncio.StreamReader
        assert type(writer) is asyncio.StreamWriter
        writer.write(b"hello ")
        writer.writelines([b"wor", bytearray(b"ld"), memoryview(b"!")])
        await writer.drain()
        assert await reader.readexactly(12) == b"hello world!"
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_both_ends_know_each_other_and_the_tunnel(pair: Pair) -> None:
    seen: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.set_result(writer)
        await reader.read()
        writer.close()

    async with await pair.server.start_server(handler, port=80):
        _, writer = await pair.client.open_connection(SERVER_V4, 80)
        far = await seen
        assert writer.get_extra_info("peername") == (SERVER_V4, 80)
        assert writer.get_extra_info("sockname")[0] == CLIENT_V4
        assert writer.get_extra_info("sockname") == far.get_extra_info("peername")
        assert writer.get_extra_info("tunnel") is pair.client
        assert far.get_extra_info("tunnel") is pair.server
        assert writer.get_extra_info("socket") is None
        assert writer.get_extra_info("nonsense", 7) == 7
        writer.close()
        await writer.wait_closed()


async def test_megabytes_arrive_whole_and_in_order(pair: Pair) -> None:
    payload = bytes(range(256)) * 16 * 1024
    async with await pair.server.start_server(echo, port=7):
        reader, writer = await pair.client.open_connection(SERVER_V4, 7)

        async def send() -> None:
            for start in range(0, len(payload), 100_000):
                writer.write(payload[start : start + 100_000])
                await writer.drain()
            writer.write_eof()

        _, received = await asyncio.gather(send(), reader.read(-1))
        assert received == payload
        writer.close()
        await writer.wait_closed()


async def test_the_local_port_can_be_chosen(pair: Pair) -> None:
    async with await pair.server.start_server(echo, port=7):
        _, writer = await pair.client.open_connection(SERVER_V4, 7, local_port=4321)
        assert writer.get_extra_info("sockname") == (CLIENT_V4, 4321)
        writer.close()
        await writer.wait_closed()
