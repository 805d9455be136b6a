"""Servers inside the tunnel, with a server object like ``asyncio.Server``."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from tests.tunnel.pairs import CLIENT_V4, SERVER_V4, SERVER_V6, Pair, nothing_held
from tests.tunnel.test_streams import echo
from tests.tunnel.test_transport import errors_of
from wirewright.tunnel import TunnelError
from wirewright.tunnel.errors import AddressError, RefusedError

pytestmark = pytest.mark.anyio


async def test_a_server_tells_where_it_listens(pair: Pair) -> None:
    server = await pair.server.start_server(echo, port=8080)
    assert server.addresses == ((SERVER_V4, 8080), (SERVER_V6, 8080))
    assert [each.getsockname() for each in server.sockets] == [(SERVER_V4, 8080), (SERVER_V6, 8080)]
    assert [each.family for each in server.sockets] == [socket.AF_INET, socket.AF_INET6]
    assert server.port == 8080
    assert server.get_loop() is asyncio.get_running_loop()
    assert server.is_serving()
    server.close()
    server.close()
    assert not server.is_serving()
    assert server.sockets == ()
    await server.wait_closed()
    await nothing_held(pair.server)


async def test_port_0_is_any_free_port_the_same_for_all_hosts(pair: Pair) -> None:
    async with await pair.server.start_server(echo, host=[SERVER_V4, SERVER_V6]) as server:
        ports = {each.port for each in server.addresses}
        assert len(ports) == 1
        for host in (SERVER_V4, SERVER_V6):
            _, writer = await pair.client.open_connection(host, ports.copy().pop())
            writer.close()
            await writer.wait_closed()


async def test_a_server_of_one_address_is_not_found_at_the_other(pair: Pair) -> None:
    async with await pair.server.start_server(echo, port=80, host=SERVER_V4):
        _, writer = await pair.client.open_connection(SERVER_V4, 80)
        with pytest.raises(RefusedError):
            await pair.client.open_connection(SERVER_V6, 80)
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
async def test_the_unspecified_address_means_all(pair: Pair, host: str) -> None:
    async with await pair.server.start_server(echo, port=80, host=host) as server:
        assert len(server.addresses) == 2


async def test_another_machines_address_cannot_be_listened_on(pair: Pair) -> None:
    with pytest.raises(AddressError, match=r"10\.9\.0\.1: it is not an address of this tunnel") as caught:
        await pair.server.start_server(echo, port=80, host=[SERVER_V4, CLIENT_V4])
    assert caught.value.errno == errno.EADDRNOTAVAIL
    await nothing_held(pair.server)


async def test_a_port_cannot_be_taken_twice(pair: Pair) -> None:
    async with await pair.server.start_server(echo, port=80):
        with pytest.raises(TunnelError, match="Port 80 of the tunnel is in use") as caught:
            await pair.server.start_server(echo, port=80)
        assert caught.value.errno == errno.EADDRINUSE
    async with await pair.server.start_server(echo, port=80):
        pass


async def test_closing_refuses_new_connections_and_waits_for_the_old(pair: Pair) -> None:
    server = await pair.server.start_server(echo, port=7)
    reader, writer = await pair.client.open_connection(SERVER_V4, 7)
    writer.write(b"x")
    await reader.readexactly(1)
    server.close()
    with pytest.raises(ConnectionRefusedError):
        await pair.client.open_connection(SERVER_V4, 7)
    closed = asyncio.ensure_future(server.wait_closed())
    writer.write(b"still here")
    assert await reader.readexactly(10) == b"still here"
    assert not closed.done()
    writer.close()
    await closed


async def test_clients_can_be_closed_and_aborted(pair: Pair) -> None:
    server = await pair.server.start_server(echo, port=7)
    streams = [await pair.client.open_connection(SERVER_V4, 7) for _ in range(2)]
    for reader, writer in streams:
        writer.write(b"x")
        await reader.readexactly(1)
    server.close()
    server.close_clients()
    server.abort_clients()
    await server.wait_closed()
    for _, writer in streams:
        writer.transport.abort()


async def test_serve_forever_serves_until_cancelled(pair: Pair) -> None:
    server = await pair.server.start_server(echo, port=7)
    await server.start_serving()
    serving = asyncio.ensure_future(server.serve_forever())
    reader, writer = await pair.client.open_connection(SERVER_V4, 7)
    writer.write(b"x")
    await reader.readexactly(1)
    with pytest.raises(RuntimeError, match="already being awaited"):
        await server.serve_forever()
    serving.cancel()
    writer.close()
    with pytest.raises(asyncio.CancelledError):
        await serving
    with pytest.raises(RuntimeError, match="is closed"):
        await server.serve_forever()


async def test_a_handler_that_fails_is_reported_and_the_server_lives(pair: Pair) -> None:
    errors = errors_of(asyncio.get_running_loop())

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readline() == b"bad\n":
            raise ValueError("bad request")
        writer.write(b"good")
        writer.close()

    async with await pair.server.start_server(handler, port=80):
        reader, writer = await pair.client.open_connection(SERVER_V4, 80)
        writer.write(b"bad\n")
        await reader.read()
        writer.close()
        reader, writer = await pair.client.open_connection(SERVER_V4, 80)
        writer.write(b"fine\n")
        assert await reader.read() == b"good"
        writer.close()
        await writer.wait_closed()
    assert [str(error["exception"]) for error in errors] == ["bad request"]


async def test_a_factory_that_fails_costs_its_client_only(pair: Pair) -> None:
    errors = errors_of(asyncio.get_running_loop())
    made: list[asyncio.Protocol] = []

    def factory() -> asyncio.Protocol:
        made.append(asyncio.Protocol())
        if len(made) == 1:
            raise ValueError("no protocol today")
        return made[-1]

    async with await pair.server.create_server(factory, port=80) as server:
        reader, writer = await pair.client.open_connection(SERVER_V4, 80)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        _, second = await pair.client.open_connection(SERVER_V4, 80)
        await pair.client.ping(SERVER_V4)
        server.abort_clients()
        second.close()
    assert "no protocol today" in str(errors[0]["exception"])


async def test_a_thousand_connections_at_once_are_all_served(pair: Pair) -> None:
    async def number(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    async def ask(count: int) -> bytes:
        reader, writer = await pair.client.open_connection(SERVER_V4, 80)
        writer.write(b"%d\n" % count)
        answer = await reader.read()
        writer.close()
        return answer

    async with await pair.server.start_server(number, port=80, backlog=1000):
        answers = await asyncio.gather(*(ask(count) for count in range(1000)))
    assert answers == [b"%d\n" % count for count in range(1000)]
