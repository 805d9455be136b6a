"""UDP inside the tunnel."""

from __future__ import annotations

import asyncio
import errno
from typing import Any

import pytest

from tests.tunnel.pairs import CLIENT_V4, CLIENT_V6, SERVER_V4, SERVER_V6, Pair, fake, nothing_held
from wirewright.tunnel.datagrams import BUFFER_LIMIT, TunnelDatagramTransport
from wirewright.tunnel.errors import AddressError, NoRouteError, TunnelError

pytestmark = pytest.mark.anyio


class Inbox(asyncio.DatagramProtocol):
    """Keeps what comes; answers it in capitals if it is told to."""

    def __init__(self, *, answers: bool = False) -> None:
        self.answers = answers
        self.received: asyncio.Queue[tuple[bytes, Any]] = asyncio.Queue()
        self.errors: list[Exception] = []
        self.calls: list[str] = []
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.transport: TunnelDatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TunnelDatagramTransport)
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.put_nowait((data, addr))
        if self.answers:
            self.transport.sendto(data.upper(), addr)

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


async def test_a_question_is_answered_to_where_it_came_from(pair: Pair) -> None:
    server, _ = await pair.server.create_datagram_endpoint(
        lambda: Inbox(answers=True), local_addr=(SERVER_V4, 53)
    )
    assert server.get_extra_info("sockname") == (SERVER_V4, 53)
    client, inbox = await pair.client.create_datagram_endpoint(Inbox, remote_addr=(SERVER_V4, 53))
    assert client.get_extra_info("peername") == (SERVER_V4, 53)
    assert client.get_extra_info("tunnel") is pair.client
    client.sendto(b"question")
    assert await inbox.received.get() == (b"QUESTION", (SERVER_V4, 53))
    client.close()
    server.close()
    assert await inbox.lost is None


async def test_one_socket_talks_to_many_over_both_families(pair: Pair) -> None:
    server, inbox = await pair.server.create_datagram_endpoint(Inbox, local_addr=(None, 500))
    client, _ = await pair.client.create_datagram_endpoint(Inbox, local_addr=("0.0.0.0", 501))
    client.sendto(bytearray(b"four"), (SERVER_V4, 500))
    assert await inbox.received.get() == (b"four", (CLIENT_V4, 501))
    client.sendto(memoryview(b"six"), (SERVER_V6, 500))
    assert await inbox.received.get() == (b"six", (CLIENT_V6, 501))
    client.close()
    server.close()


async def test_a_connected_socket_hears_its_peer_only(pair: Pair) -> None:
    stranger, _ = await pair.server.create_datagram_endpoint(Inbox, local_addr=(None, 666))
    friend, _ = await pair.server.create_datagram_endpoint(Inbox, local_addr=(None, 53))
    client, inbox = await pair.client.create_datagram_endpoint(
        Inbox, local_addr=(None, 1000), remote_addr=(SERVER_V4, 53)
    )
    # The handshake begins with the client, which knows where the server is.
    await pair.client.ping(SERVER_V4)
    stranger.sendto(b"forged", (CLIENT_V4, 1000))
    friend.sendto(b"true", (CLIENT_V4, 1000))
    assert await inbox.received.get() == (b"true", (SERVER_V4, 53))
    with pytest.raises(ValueError, match="sends to"):
        client.sendto(b"x", (SERVER_V4, 666))
    for transport in (stranger, friend, client):
        transport.close()


async def test_an_address_must_be_given_and_be_an_ip_address(pair: Pair) -> None:
    client, _ = await pair.client.create_datagram_endpoint(Inbox)
    with pytest.raises(ValueError, match="without remote_addr"):
        client.sendto(b"x")
    with pytest.raises(ValueError, match="resolve"):
        client.sendto(b"x", ("host.corp.example", 53))
    client.close()


async def test_what_cannot_be_sent_is_told_to_the_protocol(pair: Pair) -> None:
    client, inbox = await pair.client.create_datagram_endpoint(Inbox)
    client.sendto(b"x", ("192.0.2.1", 53))
    client.sendto(bytes(70_000), (SERVER_V4, 53))
    no_route, too_long = inbox.errors
    assert isinstance(no_route, NoRouteError)
    assert "no peer's allowed IPs cover it" in str(no_route)
    assert isinstance(too_long, TunnelError)
    assert too_long.errno == errno.EMSGSIZE
    client.close()


async def test_where_a_datagram_goes_is_asked_of_the_core_once_until_peers_change(
    pair: Pair, fake_core: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    owner = fake(pair.client).owner

    def asking(address: str) -> Any:
        asked.append(address)
        return owner(address)

    monkeypatch.setattr(fake(pair.client), "owner", asking)
    client, inbox = await pair.client.create_datagram_endpoint(Inbox)
    for _ in range(10):
        client.sendto(b"x", (SERVER_V4, 53))
    assert asked == [SERVER_V4]
    await pair.client.update_peer(pair.server_peer, allowed_ips=["10.9.0.3"])
    client.sendto(b"x", (SERVER_V4, 53))
    await pair.client.update_peer(pair.server_peer, allowed_ips=["10.9.0.2"])
    client.sendto(b"x", (SERVER_V4, 53))
    await pair.client.remove_peer(pair.server_peer)
    client.sendto(b"x", (SERVER_V4, 53))
    await pair.client.add_peer(pair.server_peer, allowed_ips=["10.9.0.2"], endpoint=("127.0.0.1", 9))
    client.sendto(b"x", (SERVER_V4, 53))
    assert [type(error) for error in inbox.errors] == [NoRouteError, NoRouteError]
    assert asked == [SERVER_V4] * 5
    client.close()


async def test_a_port_cannot_be_taken_twice(pair: Pair) -> None:
    first, _ = await pair.server.create_datagram_endpoint(Inbox, local_addr=(SERVER_V4, 53))
    with pytest.raises(AddressError, match="UDP port 53 of the tunnel is in use"):
        await pair.server.create_datagram_endpoint(Inbox, local_addr=(SERVER_V4, 53))
    first.close()


async def test_an_address_that_is_not_the_tunnels_cannot_be_bound(pair: Pair) -> None:
    with pytest.raises(AddressError, match=rf"192\.0\.2\.1: .*not an address .*{SERVER_V4}") as caught:
        await pair.server.create_datagram_endpoint(Inbox, local_addr=("192.0.2.1", 53))
    assert caught.value.errno == errno.EADDRNOTAVAIL


async def test_a_factory_that_fails_leaves_no_socket(pair: Pair) -> None:
    with pytest.raises(ZeroDivisionError):
        await pair.client.create_datagram_endpoint(lambda: 1 // 0)  # type: ignore[type-var]
    await nothing_held(pair.client)


async def test_sending_waits_for_room_and_is_bounded(pair: Pair, fake_core: None) -> None:
    server, received = await pair.server.create_datagram_endpoint(Inbox, local_addr=(None, 53))
    client, inbox = await pair.client.create_datagram_endpoint(Inbox, remote_addr=(SERVER_V4, 53))
    core: Any = client._datagrams
    core.blocked = True
    size = BUFFER_LIMIT // 32
    for count in range(34):
        client.sendto(bytes([count]) * size)
    assert inbox.calls == ["pause"]
    assert client.get_write_buffer_size() == BUFFER_LIMIT
    assert client.dropped == 2
    client.set_write_buffer_limits(high=2 * BUFFER_LIMIT)
    assert client.get_write_buffer_limits() == (BUFFER_LIMIT // 2, 2 * BUFFER_LIMIT)
    client.close()
    client.close()
    assert client.is_closing()
    client.sendto(b"ignored")
    core.unblock()
    await inbox.lost
    assert inbox.calls == ["pause", "resume"]
    for count in range(32):
        assert (await received.received.get())[0] == bytes([count]) * size
    assert received.received.empty()
    server.abort()
    await received.lost


async def test_many_datagrams_in_one_go_are_all_delivered_in_order(pair: Pair) -> None:
    server, inbox = await pair.server.create_datagram_endpoint(Inbox, local_addr=(None, 53))
    client, _ = await pair.client.create_datagram_endpoint(Inbox, remote_addr=(SERVER_V4, 53))
    await pair.client.ping(SERVER_V4)
    for count in range(200):
        client.sendto(b"%d" % count)
    received = [(await inbox.received.get())[0] for _ in range(200)]
    assert received == [b"%d" % count for count in range(200)]
    client.close()
    server.close()


async def test_the_protocol_can_be_exchanged(pair: Pair) -> None:
    server, _ = await pair.server.create_datagram_endpoint(Inbox, local_addr=(None, 53))
    second = Inbox()
    server.set_protocol(second)
    assert server.get_protocol() is second
    with pytest.raises(TypeError, match="DatagramProtocol"):
        server.set_protocol(asyncio.Protocol())
    client, _ = await pair.client.create_datagram_endpoint(Inbox, remote_addr=(SERVER_V4, 53))
    client.sendto(b"x")
    assert (await second.received.get())[0] == b"x"
    client.close()
    server.close()
    await second.lost
