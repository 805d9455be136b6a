"""The HTTP proxy at work: clients on this machine, servers behind a tunnel."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.proxy.proxies import HERE, NAME, connected, named, opened, refuse_names
from tests.tunnel.certificates import NAME as SECURE_NAME
from tests.tunnel.certificates import contexts
from tests.tunnel.pairs import SERVER_V4, nothing_held
from tests.tunnel.test_streams import echo
from wirewright.proxy import Credentials, HttpProxy, Limits, Socks5Proxy
from wirewright.proxy.client import Client
from wirewright.proxy.counters import ProxyCounters
from wirewright.proxy.http_client import HttpClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.tunnel.pairs import Pair

pytestmark = pytest.mark.anyio

CONNECT = f"CONNECT {SERVER_V4}:7 HTTP/1.1\r\nHost: {SERVER_V4}:7\r\n\r\n".encode()
CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"


async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request of a connection with what it asked, in a body of its length."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            body = head.split(b"\r\n")[0] + b"|" + await reader.readexactly(length)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    writer.close()


def counters(proxy: HttpProxy) -> ProxyCounters:
    assert isinstance(proxy.counters, ProxyCounters)
    return proxy.counters


async def test_httpx_reaches_a_name_behind_the_tunnel(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = HttpProxy(pair.client, HERE)
    async with await pair.server.start_server(web, port=80), named(pair), opened(proxy) as place:
        async with httpx2.AsyncClient(proxy=f"http://{place}", trust_env=False) as client:
            refuse_names(monkeypatch)
            answer = await client.get(f"http://{NAME}/page")
            assert answer.text == "GET /page HTTP/1.1|"
            body = b"x" * 3_000_000
            answer = await client.post(f"http://{NAME}/form", content=body)
            assert answer.content == b"POST /form HTTP/1.1|" + body
    assert counters(proxy).accepted == 1
    await nothing_held(pair.client)


async def test_httpx_reaches_https_behind_the_tunnel(pair: Pair) -> None:
    serving, trusting = contexts()
    async with (
        await pair.server.start_server(web, port=443, ssl=serving),
        opened(HttpProxy(pair.client, HERE)) as place,
        httpx2.AsyncClient(proxy=f"http://{place}", trust_env=False, verify=trusting) as client,
    ):
        answer = await client.get(f"https://{SERVER_V4}/", extensions={"sni_hostname": SECURE_NAME})
        assert answer.text == "GET / HTTP/1.1|"


async def test_connect_passes_bytes_and_ends_of_both_directions(pair: Pair) -> None:
    async with await pair.server.start_server(echo, port=7), opened(HttpProxy(pair.client, HERE)) as place:
        async with connected(place) as (reader, writer):
            writer.write(CONNECT + b"early ")
            assert await reader.readexactly(len(CONNECTED)) == CONNECTED
            writer.write(b"and late")
            writer.write_eof()
            assert await reader.read(-1) == b"early and late"
    await nothing_held(pair.client)


async def test_a_client_that_ends_before_the_connection_is_there_still_gets_its_answer(pair: Pair) -> None:
    async with await pair.server.start_server(echo, port=7), opened(HttpProxy(pair.client, HERE)) as place:
        async with connected(place) as (reader, writer):
            writer.write(CONNECT + b"all")
            writer.write_eof()
            assert await reader.read(-1) == CONNECTED + b"all"
        async with connected(place) as (reader, writer):
            writer.write(b"GET http://%s:9/ HTTP/1.1\r\nHost: a\r\n\r\n" % SERVER_V4.encode())
            writer.write_eof()
            assert (await reader.read(-1)).startswith(b"HTTP/1.1 502 ")
    await nothing_held(pair.client)


async def test_the_password_is_asked_for(pair: Pair) -> None:
    proxy = HttpProxy(pair.client, HERE, Credentials(b"ann", b"secret"))
    async with await pair.server.start_server(web, port=80), opened(proxy) as place:
        for user, status in (("ann:secret@", 200), ("ann:wrong@", 407), ("", 407)):
            async with httpx2.AsyncClient(proxy=f"http://{user}{place}", trust_env=False) as client:
                assert (await client.get(f"http://{SERVER_V4}/")).status_code == status
    assert counters(proxy).unauthorised == 2


async def test_a_refusal_is_told_in_words(pair: Pair) -> None:
    proxy = HttpProxy(pair.client, HERE)
    async with opened(proxy) as place:
        async with httpx2.AsyncClient(proxy=f"http://{place}", trust_env=False) as client:
            answer = await client.get(f"http://{SERVER_V4}:9/")
            assert answer.status_code == 502
            assert "refused the connection" in answer.text
            with pytest.raises(httpx2.ProxyError, match="502"):
                await client.get(f"https://{SERVER_V4}:9/")
    assert counters(proxy).unreachable == 2


async def test_nonsense_is_counted_and_answered(pair: Pair) -> None:
    proxy = HttpProxy(pair.client, HERE)
    async with opened(proxy) as place:
        for said in (b"\x05\x01\x00\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"):
            async with connected(place) as (reader, writer):
                writer.write(said)
                assert (await reader.read(-1)).startswith(b"HTTP/1.1 400 ")
    assert counters(proxy).malformed == 2


@pytest.mark.parametrize("said", [b"", b"GET http://a/ HT"])
async def test_who_sends_no_whole_head_is_sent_away_in_time(pair: Pair, said: bytes) -> None:
    proxy = HttpProxy(pair.client, HERE, limits=Limits(patience=0.05))
    async with opened(proxy) as place, connected(place) as (reader, writer):
        writer.write(said)
        assert await reader.read(-1) == b""
    assert counters(proxy).late == 1


async def test_a_connection_that_rests_too_long_between_requests_is_closed(pair: Pair) -> None:
    proxy = HttpProxy(pair.client, HERE, limits=Limits(rest=0.05))
    async with await pair.server.start_server(web, port=80), opened(proxy) as place:
        async with connected(place) as (reader, writer):
            writer.write(b"GET http://%s/ HTTP/1.1\r\nHost: a\r\n\r\n" % SERVER_V4.encode())
            assert (await reader.read(-1)).endswith(b"GET / HTTP/1.1|")
    assert counters(proxy).late == 1
    await nothing_held(pair.client)


async def test_a_client_that_goes_takes_its_request_with_it(pair: Pair) -> None:
    ended = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(bytes(100_000))
                await writer.drain()
        ended.set()

    async with await pair.server.start_server(wait, port=80), opened(HttpProxy(pair.client, HERE)) as place:
        async with connected(place) as (reader, writer):
            writer.write(b"GET http://%s/ HTTP/1.1\r\nHost: a\r\n\r\n" % SERVER_V4.encode())
            await reader.readexactly(1000)
            writer.transport.abort()
            await ended.wait()
    await nothing_held(pair.client)


async def test_two_hundred_requests_at_once_are_answered(pair: Pair) -> None:
    async with (
        await pair.server.start_server(web, port=80, backlog=256),
        opened(HttpProxy(pair.client, HERE)) as place,
    ):

        async def one(number: int) -> None:
            async with connected(place) as (reader, writer):
                writer.write(b"GET http://%s/%d HTTP/1.0\r\n\r\n" % (SERVER_V4.encode(), number))
                assert (await reader.read(-1)).endswith(b"\r\nGET /%d HTTP/1.1|" % number)

        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(one(number))
    await nothing_held(pair.client)


async def big(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with as many bytes as the path says."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.split(b" ")[1][1:])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        writer.write(bytes(size))
        await writer.drain()
        await reader.read()
    writer.close()


@contextlib.contextmanager
def unread(place: tuple[str, int]) -> Iterator[socket.socket]:
    """A client of which the kernel keeps little."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(place)
        yield client


def only_client(proxy: HttpProxy | Socks5Proxy) -> Client:
    (client,) = proxy._door.crowd._members
    assert isinstance(client, Client)
    return client


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 (no event tells)
            await asyncio.sleep(0.001)


def keep_little(client: Client) -> None:
    """Let the kernel's buffer of the proxy's side be small too."""
    held = client.transport.get_extra_info("socket")
    held.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


async def test_a_client_that_does_not_take_its_answer_is_reset_in_time(pair: Pair) -> None:
    proxy = HttpProxy(pair.client, HERE, limits=Limits(rest=0.05))
    async with await pair.server.start_server(big, port=80), opened(proxy) as place:
        with unread(place) as client:
            await until(lambda: len(proxy._door.crowd) == 1)
            keep_little(only_client(proxy))
            client.sendall(b"GET http://%s/40000 HTTP/1.1\r\nHost: a\r\n\r\n" % SERVER_V4.encode())
            await until(lambda: counters(proxy).late == 1)
            await until(lambda: len(proxy._door.crowd) == 0)
    await nothing_held(pair.client)


@pytest.mark.parametrize("kind", [HttpProxy, Socks5Proxy])
async def test_a_client_that_vanishes_is_noticed(pair: Pair, kind: type[HttpProxy | Socks5Proxy]) -> None:
    proxy = kind(pair.client, HERE)
    async with opened(proxy) as place, connected(place):
        await until(lambda: len(proxy._door.crowd) == 1)
        held = only_client(proxy).transport.get_extra_info("socket")
        assert held.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize("second", ["GET http://{}:81/ HTTP/1.1", "CONNECT {}:81 HTTP/1.1"])
async def test_who_does_not_read_stops_the_next_origin_too(pair: Pair, second: str) -> None:
    proxy = HttpProxy(pair.client, HERE)
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(bytes(100_000))
                await writer.drain()
                sent += 100_000
        writer.close()

    async with (
        await pair.server.start_server(big, port=80),
        await pair.server.start_server(pour, port=81),
        opened(proxy) as place,
    ):
        async with connected(place) as (reader, writer):
            head = "\r\nHost: a\r\n\r\n"
            writer.write(f"GET http://{SERVER_V4}/2 HTTP/1.1{head}".encode())
            await reader.readuntil(b"\0\0")
            inside = only_client(proxy)
            assert isinstance(inside, HttpClient)
            # As its transport does when the client reads too slowly.
            inside.pause_writing()
            writer.write((second.format(SERVER_V4) + head).encode())
            await until(lambda: sent > 0)
            if second.startswith("CONNECT"):
                assert await reader.readexactly(len(CONNECTED)) == CONNECTED
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await reader.readexactly(1)
            (inside.relay.outer.get_protocol() if inside.relay else inside).resume_writing()
            await reader.readexactly(1000)
    await nothing_held(pair.client)


async def test_an_origin_that_resets_at_once_is_told(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = pair.client.create_connection

    async def late(make: Any, host: str, port: int) -> Any:
        made = await connect(make, host, port)
        await pair.client.ping(SERVER_V4)
        await pair.client.ping(SERVER_V4)
        return made

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    monkeypatch.setattr(pair.client, "create_connection", late)
    async with await pair.server.start_server(reset, port=80):
        async with opened(HttpProxy(pair.client, HERE)) as place, connected(place) as (reader, writer):
            writer.write(b"GET http://%s/ HTTP/1.1\r\nHost: a\r\n\r\n" % SERVER_V4.encode())
            assert (await reader.read(-1)).startswith(b"HTTP/1.1 502 ")
    await nothing_held(pair.client)


async def test_what_an_origin_says_first_is_no_answer_and_not_lost(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = pair.client.create_connection

    async def late(make: Any, host: str, port: int) -> Any:
        made = await connect(make, host, port)
        await pair.client.ping(SERVER_V4)
        await pair.client.ping(SERVER_V4)
        return made

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-server\r\n\r\n")
        await reader.read()
        writer.close()

    monkeypatch.setattr(pair.client, "create_connection", late)
    async with await pair.server.start_server(greet, port=22):
        async with opened(HttpProxy(pair.client, HERE)) as place, connected(place) as (reader, writer):
            writer.write(b"GET http://%s:22/ HTTP/1.1\r\nHost: a\r\n\r\n" % SERVER_V4.encode())
            assert (await reader.read(-1)).startswith(b"HTTP/1.1 502 ")
    await nothing_held(pair.client)
