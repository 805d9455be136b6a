"""A port inside the tunnel that leads to a server on this machine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.proxy.proxies import connected, opened
from tests.tunnel.pairs import SERVER_V4, nothing_held
from tests.tunnel.test_streams import echo
from wirewright.proxy import Exposure, Limits, LocalForward, OpenToOthersError
from wirewright.proxy.addresses import Pair as Places
from wirewright.proxy.addresses import Place
from wirewright.tunnel.errors import AddressError

if TYPE_CHECKING:
    from tests.tunnel.pairs import Pair

pytestmark = pytest.mark.anyio


async def test_a_peer_reaches_a_server_of_this_machine(pair: Pair) -> None:
    here = await asyncio.start_server(echo, "127.0.0.1", 0)
    to = Place("127.0.0.1", here.sockets[0].getsockname()[1])
    payload = bytes(range(256)) * 16 * 1024
    async with opened(Exposure(pair.server, Places(Place("", 80), to))) as place:
        assert place == (SERVER_V4, 80)
        reader, writer = await pair.client.open_connection(*place)

        async def send() -> None:
            writer.write(payload)
            writer.write_eof()

        _, received = await asyncio.gather(send(), reader.read(-1))
        assert received == payload
        writer.close()
        await writer.wait_closed()
    here.close()
    await nothing_held(pair.server)


async def test_nobody_at_home_resets_the_peer(pair: Pair) -> None:
    here = await asyncio.start_server(echo, "127.0.0.1", 0)
    to = Place("127.0.0.1", here.sockets[0].getsockname()[1])
    here.close()
    exposure = Exposure(pair.server, Places(Place(SERVER_V4, 80), to))
    async with opened(exposure) as place:
        reader, writer = await pair.client.open_connection(*place)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()
    assert exposure.counters.unreachable == 1
    await nothing_held(pair.server)


async def test_peers_beyond_the_limit_are_reset(pair: Pair) -> None:
    here = await asyncio.start_server(echo, "127.0.0.1", 0)
    to = Place("127.0.0.1", here.sockets[0].getsockname()[1])
    exposure = Exposure(pair.server, Places(Place("", 80), to), Limits(connections=1))
    async with opened(exposure) as place:
        first = await pair.client.open_connection(*place)
        first[1].write(b"x")
        assert await first[0].readexactly(1) == b"x"
        second = await pair.client.open_connection(*place)
        with pytest.raises(ConnectionResetError):
            await second[0].read(1)
        for _, writer in (first, second):
            writer.close()
    assert exposure.counters.refused == 1
    here.close()


async def test_it_listens_on_addresses_of_the_tunnel_only(pair: Pair) -> None:
    with pytest.raises(AddressError, match="not an address of this tunnel"):
        await Exposure(pair.server, Places(Place("192.0.2.1", 80), Place("127.0.0.1", 8000))).open()


async def test_a_local_forward_leads_through_the_tunnel(pair: Pair) -> None:
    forward = LocalForward(pair.client, Places(Place("127.0.0.1", 0), Place(SERVER_V4, 7)))
    async with await pair.server.start_server(echo, port=7), opened(forward) as place:
        async with connected(place) as (reader, writer):
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
    assert forward.counters.accepted == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
async def test_a_forward_listens_on_the_loopback_only(host: str) -> None:
    with pytest.raises(OpenToOthersError, match=r"127\.0\.0\.1"):
        LocalForward.check(Place(host, 5432))
