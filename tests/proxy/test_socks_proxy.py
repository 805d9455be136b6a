"""The SOCKS proxy at work: clients on this machine, servers behind a tunnel."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.proxy.proxies import HERE, NAME, connected, named, opened, refuse_names
from tests.tunnel.pairs import CLIENT_V4, QUICK, SERVER_V4, SERVER_V6, joined, nothing_held
from tests.tunnel.test_streams import echo
from wirewright.proxy import Credentials, Limits, OpenToOthersError, Socks5Proxy
from wirewright.proxy.addresses import Place
from wirewright.proxy.counters import ProxyCounters
from wirewright.proxy.socks5 import encode_address

if TYPE_CHECKING:
    from tests.tunnel.pairs import Pair

pytestmark = pytest.mark.anyio

GREETING = b"\x05\x01\x00"


def to(host: str, port: int) -> bytes:
    return b"\x05\x01\x00" + encode_address(host, port)


def to_name(name: str, port: int) -> bytes:
    return b"\x05\x01\x00\x03" + bytes((len(name),)) + name.encode() + port.to_bytes(2)


def counters(proxy: Socks5Proxy) -> ProxyCounters:
    assert isinstance(proxy.counters, ProxyCounters)
    return proxy.counters


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, more: bytes = b""
) -> bytes:
    """Negotiate without a password; return the reply to the request."""
    writer.write(GREETING + request + more)
    assert await reader.readexactly(2) == b"\x05\x00"
    head = await reader.readexactly(4)
    return head + await reader.readexactly(6 if head[3] == 1 else 18)


@pytest.mark.parametrize("host", [SERVER_V4, SERVER_V6])
async def test_a_client_is_connected_to_an_address(pair: Pair, host: str) -> None:
    proxy = Socks5Proxy(pair.client, HERE)
    async with await pair.server.start_server(echo, port=7), opened(proxy) as place:
        async with connected(place) as (reader, writer):
            reply = await ask(reader, writer, to(host, 7), b"early ")
            assert reply[:3] == b"\x05\x00\x00"
            if host == SERVER_V4:
                assert reply[4:8] == bytes(map(int, CLIENT_V4.split(".")))
            writer.write(b"and late")
            writer.write_eof()
            assert await reader.read(-1) == b"early and late"
    await nothing_held(pair.client)


async def test_a_name_is_asked_inside_the_tunnel_and_nowhere_else(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_names(monkeypatch)
    proxy = Socks5Proxy(pair.client, HERE)
    async with await pair.server.start_server(echo, port=7), named(pair) as zone, opened(proxy) as place:
        async with connected(place) as (reader, writer):
            assert (await ask(reader, writer, to_name(NAME, 7)))[1] == 0
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
        assert any(NAME in asked for asked in zone.asked)
        async with connected(place) as (reader, writer):
            assert (await ask(reader, writer, to_name("nobody.corp.example", 7)))[1] == 4
            assert await reader.read() == b""
    assert counters(proxy).unreachable == 1


async def test_a_server_that_speaks_first_is_heard_behind_the_reply(pair: Pair) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 welcome")
        writer.close()

    async with (
        await pair.server.start_server(greet, port=25),
        opened(Socks5Proxy(pair.client, HERE)) as place,
        connected(place) as (reader, writer),
    ):
        assert (await ask(reader, writer, to(SERVER_V4, 25)))[1] == 0
        assert await reader.read(-1) == b"220 welcome"


async def test_a_refusal_is_told(pair: Pair) -> None:
    proxy = Socks5Proxy(pair.client, HERE)
    async with opened(proxy) as place, connected(place) as (reader, writer):
        assert (await ask(reader, writer, to(SERVER_V4, 9)))[1] == 5
        assert await reader.read() == b""
    assert counters(proxy).unreachable == 1


async def test_an_address_without_a_route_is_told(pair: Pair) -> None:
    async with opened(Socks5Proxy(pair.client, HERE)) as place, connected(place) as (reader, writer):
        assert (await ask(reader, writer, to("192.0.2.1", 9)))[1] == 3


async def test_a_silent_host_is_told(core: str) -> None:
    async with joined(QUICK) as pair:
        await pair.client.wait_for_handshake(timeout=10)
        async with opened(Socks5Proxy(pair.client, HERE)) as place, connected(place) as (reader, writer):
            assert (await ask(reader, writer, to("10.9.0.77", 9)))[1] in {4, 6}


async def test_the_password_is_asked_for(pair: Pair) -> None:
    proxy = Socks5Proxy(pair.client, HERE, Credentials(b"ann", b"secret"))
    async with await pair.server.start_server(echo, port=7), opened(proxy) as place:
        async with connected(place) as (reader, writer):
            writer.write(GREETING)
            assert await reader.read(-1) == b"\x05\xff"
        async with connected(place) as (reader, writer):
            writer.write(b"\x05\x01\x02\x01\x03ann\x05wrong")
            assert await reader.read(-1) == b"\x05\x02\x01\x01"
        async with connected(place) as (reader, writer):
            writer.write(b"\x05\x01\x02\x01\x03ann\x06secret" + to(SERVER_V4, 7) + b"x")
            assert (await reader.readexactly(14))[:6] == b"\x05\x02\x01\x00\x05\x00"
            assert await reader.readexactly(1) == b"x"
    assert counters(proxy).unauthorised == 2


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n", b"\x04\x01", b"\x05\x01\x00\x05\x02\x00\x01" + bytes(6)]
)
async def test_who_speaks_something_else_is_sent_away(pair: Pair, said: bytes) -> None:
    proxy = Socks5Proxy(pair.client, HERE)
    async with opened(proxy) as place, connected(place) as (reader, writer):
        writer.write(said)
        with contextlib.suppress(ConnectionResetError):
            assert len(await reader.read(-1)) in {0, 12}
    assert counters(proxy).malformed == 1


async def test_who_says_nothing_is_sent_away_in_time(pair: Pair) -> None:
    proxy = Socks5Proxy(pair.client, HERE, limits=Limits(patience=0.05))
    async with opened(proxy) as place, connected(place) as (reader, writer):
        writer.write(GREETING)
        assert await reader.read(-1) == b"\x05\x00"
    assert counters(proxy).late == 1


async def test_two_hundred_connections_at_once_are_served(pair: Pair) -> None:
    proxy = Socks5Proxy(pair.client, HERE)
    all_here = asyncio.Barrier(200)

    async def one(number: int) -> None:
        async with connected(place) as (reader, writer):
            assert (await ask(reader, writer, to(SERVER_V4, 7)))[1] == 0
            await all_here.wait()
            payload = number.to_bytes(4) * 5000
            writer.write(payload)
            writer.write_eof()
            assert await reader.read(-1) == payload

    async with (
        await pair.server.start_server(echo, port=7, backlog=256),
        opened(proxy) as place,
        asyncio.TaskGroup() as group,
    ):
        for number in range(200):
            group.create_task(one(number))
    assert counters(proxy).accepted == 200
    await nothing_held(pair.client)


async def test_connections_beyond_the_limit_are_reset(pair: Pair) -> None:
    proxy = Socks5Proxy(pair.client, HERE, limits=Limits(connections=1))
    async with opened(proxy) as place, connected(place) as (first, writer):
        writer.write(GREETING)
        await first.readexactly(2)
        async with connected(place) as (reader, _):
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
    assert counters(proxy).refused == 1


async def test_closing_the_proxy_resets_what_is_under_way(pair: Pair) -> None:
    proxy = Socks5Proxy(pair.client, HERE)
    async with await pair.server.start_server(echo, port=7):
        async with opened(proxy) as place:
            relayed = await asyncio.open_connection(*place)
            assert (await ask(*relayed, to(SERVER_V4, 7)))[1] == 0
            waiting = await asyncio.open_connection(*place)
            waiting[1].write(GREETING)
            await waiting[0].readexactly(2)
        for reader, writer in (relayed, waiting):
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
            writer.close()
    await nothing_held(pair.client)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_off_the_loopback_there_is_no_proxy_without_a_password(host: str) -> None:
    with pytest.raises(OpenToOthersError, match="credentials"):
        Socks5Proxy.check(Place(host, 1080), None)
    Socks5Proxy.check(Place(host, 1080), Credentials(b"ann", b"secret"))
