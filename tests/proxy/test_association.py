"""UDP through the SOCKS proxy."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.proxy.proxies import HERE, NAME, connected, named, opened, refuse_names
from tests.proxy.test_socks_proxy import GREETING, counters
from tests.tunnel.pairs import SERVER_V4, SERVER_V6, nothing_held
from wirewright.proxy import Limits, Socks5Proxy
from wirewright.proxy.socks5 import decode_address, encode_address
from wirewright.proxy.socks5_datagrams import wrap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.tunnel.pairs import Pair
    from wirewright.proxy.addresses import Place

pytestmark = pytest.mark.anyio


class Echo(asyncio.DatagramProtocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)


class Inbox(asyncio.DatagramProtocol):
    """A client's socket."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.put_nowait(data)


@contextlib.asynccontextmanager
async def associated(
    place: Place, port: int = 0
) -> AsyncIterator[tuple[tuple[str, int], asyncio.StreamReader, asyncio.StreamWriter]]:
    async with connected(place) as (reader, writer):
        writer.write(GREETING + b"\x05\x03\x00" + encode_address("0.0.0.0", port))
        answer = await reader.readexactly(12)
        assert answer[:5] == b"\x05\x00\x05\x00\x00"
        host, at, _ = decode_address(answer, 5)
        yield (host, at), reader, writer


@contextlib.asynccontextmanager
async def client(to: tuple[str, int]) -> AsyncIterator[tuple[asyncio.DatagramTransport, Inbox]]:
    loop = asyncio.get_running_loop()
    transport, inbox = await loop.create_datagram_endpoint(Inbox, remote_addr=to)
    try:
        yield transport, inbox
    finally:
        transport.close()


async def serve_echo(pair: Pair) -> None:
    await pair.server.create_datagram_endpoint(Echo, local_addr=(None, 7))


async def counted(proxy: Socks5Proxy, name: str, number: int = 1) -> None:
    async with asyncio.timeout(10):
        while getattr(counters(proxy), name) != number:  # noqa: ASYNC110 (no event tells)
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("host", [SERVER_V4, SERVER_V6])
async def test_a_datagram_goes_there_and_back(pair: Pair, host: str) -> None:
    await serve_echo(pair)
    async with opened(Socks5Proxy(pair.client, HERE)) as place:
        async with associated(place) as (to, _, _), client(to) as (sender, inbox):
            sender.sendto(wrap(host, 7, b"hello"))
            assert await inbox.received.get() == wrap(host, 7, b"hello")


async def test_a_datagram_goes_to_a_name_that_is_asked_inside_the_tunnel(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_names(monkeypatch)
    await serve_echo(pair)
    head = b"\0\0\0\x03" + bytes((len(NAME),)) + NAME.encode() + b"\x00\x07"
    async with named(pair) as zone, opened(Socks5Proxy(pair.client, HERE)) as place:
        async with associated(place) as (to, _, _), client(to) as (sender, inbox):
            for number in range(5):
                sender.sendto(head + bytes((number,)))
            got = [(await inbox.received.get())[-1] for _ in range(5)]
            sender.sendto(head + b"\x05")
            got.append((await inbox.received.get())[-1])
            assert sorted(got) == [0, 1, 2, 3, 4, 5]
        # One question a family, however many datagrams.
        assert len(zone.asked) == 2


async def test_a_name_that_nobody_knows_drops_its_datagrams(pair: Pair) -> None:
    proxy = Socks5Proxy(pair.client, HERE)
    head = b"\0\0\0\x03\x13nobody.corp.example\x00\x07"
    async with (
        named(pair),
        opened(proxy) as place,
        associated(place) as (to, _, _),
        client(to) as (sender, _),
    ):
        sender.sendto(head + b"one")
        await counted(proxy, "unresolved_dropped")
        sender.sendto(head + b"two")
        await counted(proxy, "unresolved_dropped", 2)


async def test_a_part_of_a_datagram_is_refused(pair: Pair) -> None:
    await serve_echo(pair)
    proxy = Socks5Proxy(pair.client, HERE)
    async with opened(proxy) as place, associated(place) as (to, _, _), client(to) as (sender, inbox):
        whole = wrap(SERVER_V4, 7, b"hello")
        sender.sendto(whole[:2] + b"\x01" + whole[3:])
        sender.sendto(whole[:2] + b"\x81" + whole[3:])
        sender.sendto(whole)
        assert await inbox.received.get() == whole
        assert inbox.received.empty()
        assert counters(proxy).fragments_dropped == 2
        assert counters(proxy).datagrams_out == counters(proxy).datagrams_in == 1


@pytest.mark.parametrize("datagram", [b"\0\0\0", b"\xff" * 20, b"\0\0\0" + bytes(7)])
async def test_what_is_no_datagram_of_socks_is_dropped(pair: Pair, datagram: bytes) -> None:
    proxy = Socks5Proxy(pair.client, HERE)
    async with opened(proxy) as place, associated(place) as (to, _, _), client(to) as (sender, _):
        sender.sendto(datagram)
        await counted(proxy, "malformed_dropped")


async def test_a_datagram_without_a_route_is_dropped(pair: Pair) -> None:
    proxy = Socks5Proxy(pair.client, HERE)
    async with opened(proxy) as place, associated(place) as (to, _, _), client(to) as (sender, _):
        sender.sendto(wrap("192.0.2.1", 7, b"x"))
        await counted(proxy, "unsendable_dropped")
        assert counters(proxy).datagrams_out == 0


async def test_another_program_may_not_use_an_association(pair: Pair) -> None:
    await serve_echo(pair)
    proxy = Socks5Proxy(pair.client, HERE)
    async with (
        opened(proxy) as place,
        associated(place) as (to, _, _),
        client(to) as (owner, inbox),
        client(to) as (stranger, theirs),
    ):
        owner.sendto(wrap(SERVER_V4, 7, b"mine"))
        await inbox.received.get()
        stranger.sendto(wrap(SERVER_V4, 7, b"theirs"))
        await counted(proxy, "foreign_dropped")
        assert theirs.received.empty()


async def test_who_announced_its_port_is_heard_from_there_only(pair: Pair) -> None:
    await serve_echo(pair)
    proxy = Socks5Proxy(pair.client, HERE)
    loop = asyncio.get_running_loop()
    sender, inbox = await loop.create_datagram_endpoint(Inbox, local_addr=("127.0.0.1", 0))
    own = sender.get_extra_info("sockname")[1]
    async with opened(proxy) as place, associated(place, own) as (to, _, _), client(to) as (stranger, _):
        stranger.sendto(wrap(SERVER_V4, 7, b"theirs"))
        await counted(proxy, "foreign_dropped")
        sender.sendto(wrap(SERVER_V4, 7, b"mine"), to)
        assert await inbox.received.get() == wrap(SERVER_V4, 7, b"mine")
    sender.close()


async def test_an_association_ends_with_its_connection(pair: Pair) -> None:
    proxy = Socks5Proxy(pair.client, HERE)
    async with opened(proxy) as place:
        async with associated(place):
            pass
        await nothing_held(pair.client)
        assert proxy._door.associations == 0


async def test_an_association_ends_with_its_connection_whatever_was_said_there(pair: Pair) -> None:
    async with opened(Socks5Proxy(pair.client, HERE)) as place:
        async with associated(place) as (_, _, writer):
            writer.write(b"x" * 100)
        async with connected(place) as (reader, writer):
            writer.write(GREETING)
            await reader.readexactly(2)
            writer.write(b"\x05\x03\x00" + encode_address("0.0.0.0", 0))
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(b"y" * 100)
        await nothing_held(pair.client)


async def test_closing_the_proxy_ends_its_associations(pair: Pair) -> None:
    async with opened(Socks5Proxy(pair.client, HERE)) as place, connected(place) as (reader, writer):
        writer.write(GREETING + b"\x05\x03\x00" + encode_address("0.0.0.0", 0))
        await reader.readexactly(12)
    await nothing_held(pair.client)


async def test_associations_beyond_the_limit_are_refused_and_room_comes_back(pair: Pair) -> None:
    proxy = Socks5Proxy(pair.client, HERE, limits=Limits(associations=1))
    async with opened(proxy) as place:
        async with associated(place), connected(place) as (reader, writer):
            writer.write(GREETING + b"\x05\x03\x00" + encode_address("0.0.0.0", 0))
            assert (await reader.read(-1))[:4] == b"\x05\x00\x05\x02"
        await nothing_held(pair.client)
        async with associated(place):
            pass
    assert counters(proxy).associations_refused == 1
