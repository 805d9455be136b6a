"""The packet filter of a rootless tunnel: what its peers may start."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest

from tests.tunnel.pairs import CLIENT_V4, SERVER_V4, SERVER_V6, joined
from wirewright.host.filtering import AllowRule, PacketFilter, PortRange, Protocol

if TYPE_CHECKING:
    from tests.tunnel.pairs import Pair
    from wirewright.tunnel import Tunnel

SETTINGS = PacketFilter(
    (ip_address(SERVER_V4), ip_address(SERVER_V6)), (ip_network("10.9.0.0/24"), ip_network("fd09::/64"))
)
TO_WEB = AllowRule(ip_network("10.9.0.0/16"), Protocol.TCP, PortRange(80, 80))

pytestmark = pytest.mark.anyio


async def serve(tunnel: Tunnel, port: int) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(4))
        await writer.drain()
        writer.close()

    await tunnel.start_server(greet, port=port)


async def answers(tunnel: Tunnel, host: str, port: int, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await tunnel.open_connection(host, port)
            writer.write(b"word")
            answered = await reader.readexactly(4) == b"word"
            writer.close()
            return answered
    except (TimeoutError, OSError):
        return False


def denied(pair: Pair) -> int:
    return pair.server.stats().counters["filter_denied"]


async def test_a_peer_starts_only_what_its_rules_allow() -> None:
    async with joined() as pair:
        for port in (80, 81):
            await serve(pair.server, port)
        await serve(pair.client, 22)
        assert await answers(pair.client, SERVER_V4, 81, 20)
        await pair.server.set_filter(SETTINGS)
        assert not await answers(pair.client, SERVER_V4, 80, 0.5)
        client = pair.ends.client_key.public_key
        await pair.server.update_peer(client, rules=[TO_WEB])
        assert await answers(pair.client, SERVER_V4, 80, 20)
        before = denied(pair)
        assert not await answers(pair.client, SERVER_V4, 81, 0.5)
        assert denied(pair) > before
        assert await answers(pair.server, CLIENT_V4, 22, 20), "the gateway itself reaches its peers"
        await pair.server.update_peer(client, rules=[])
        assert not await answers(pair.client, SERVER_V4, 80, 0.5)
        await pair.server.set_filter(None)
        assert await answers(pair.client, SERVER_V4, 81, 20)


async def test_rules_may_come_with_the_peer() -> None:
    async with joined() as pair:
        for port in (80, 81):
            await serve(pair.server, port)
        await pair.server.set_filter(SETTINGS)
        client = pair.ends.client_key.public_key
        await pair.server.remove_peer(client)
        await pair.server.add_peer(client, allowed_ips=[f"{CLIENT_V4}/32"], rules=[TO_WEB])
        assert await answers(pair.client, SERVER_V4, 80, 20)
        assert not await answers(pair.client, SERVER_V4, 81, 0.5)


async def test_more_of_a_filter_than_may_be_is_refused() -> None:
    async with joined() as pair:
        with pytest.raises(ValueError, match="at most 64"):
            await pair.server.set_filter(PacketFilter((ip_address("10.9.0.2"),) * 65))
