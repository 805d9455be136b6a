"""Every failure is told in words: what was wrong, where, what to do."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from ipaddress import ip_interface, ip_network
from typing import Any

import pytest

from tests.config.samples import LOW_ORDER
from tests.tunnel.pairs import CLIENT_V4, QUICK, SERVER_V4, Ends, Pair, fake, joined, nothing_held
from tests.tunnel.test_datagrams import Inbox
from tests.tunnel.test_streams import echo
from wirewright.config import Config, Endpoint, Interface, Peer
from wirewright.keys import PresharedKey, PublicKey, SecretKey
from wirewright.tunnel import Timeouts, Tunnel, TunnelError
from wirewright.tunnel.errors import (
    AddressError,
    ConnectTimeoutError,
    HandshakeTimeoutError,
    ImpossiblePeerError,
    NoEndpointError,
    NoRouteError,
    PingTimeoutError,
    RefusedError,
    ResolutionTimeoutError,
    UnreachableError,
    connect_error,
    stream_error,
)

pytestmark = pytest.mark.anyio


async def test_a_port_where_nobody_listens_refuses(pair: Pair) -> None:
    with pytest.raises(ConnectionRefusedError, match=r"10\.9\.0\.2 port 81 refused the connection") as caught:
        await pair.client.open_connection(SERVER_V4, 81)
    assert isinstance(caught.value, RefusedError)
    assert isinstance(caught.value, TunnelError)
    assert caught.value.errno == errno.ECONNREFUSED
    await nothing_held(pair.client)


async def test_a_destination_that_no_peer_covers_is_named(pair: Pair) -> None:
    for attempt in (pair.client.open_connection("192.0.2.1", 80), pair.client.ping("192.0.2.1")):
        with pytest.raises(NoRouteError, match=r"192\.0\.2\.1.* no peer's allowed IPs cover it") as caught:
            await attempt
        assert caught.value.errno == errno.ENETUNREACH


async def test_a_peer_that_does_not_answer_is_named_with_its_endpoint(core: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        ends = Ends()
        async with Tunnel(
            ends.client_config("127.0.0.1", port), listen_address="127.0.0.1", timeouts=QUICK
        ) as tunnel:
            key = ends.server_key.public_key
            expected = f"No handshake answer from peer {key} at 127.0.0.1:{port} within 0.3 s"
            with pytest.raises(HandshakeTimeoutError) as caught:
                await tunnel.open_connection(SERVER_V4, 80)
            assert str(caught.value).startswith(expected)
            assert isinstance(caught.value, TimeoutError)
            with pytest.raises(HandshakeTimeoutError):
                await tunnel.ping(SERVER_V4)
            with pytest.raises(HandshakeTimeoutError):
                await tunnel.wait_for_handshake()
            with pytest.raises(HandshakeTimeoutError, match=r"within 0\.1 s"):
                await tunnel.wait_for_handshake(timeout=0.1)
            await nothing_held(tunnel)


async def test_a_wrong_preshared_key_looks_like_silence(core: str) -> None:
    async with joined(QUICK) as pair:
        await pair.server.update_peer(pair.ends.client_key.public_key, preshared_key=PresharedKey.generate())
        with pytest.raises(HandshakeTimeoutError, match="the same preshared key"):
            await pair.client.open_connection(SERVER_V4, 80)


async def test_a_peer_without_endpoint_is_named(core: str) -> None:
    ends = Ends()
    async with Tunnel(ends.client_config(None), listen_address="127.0.0.1") as tunnel:
        with pytest.raises(NoEndpointError, match="endpoint is unknown") as caught:
            await tunnel.open_connection(SERVER_V4, 80)
        assert caught.value.errno == errno.EDESTADDRREQ


async def test_a_peer_whose_key_cannot_be_is_not_waited_for(pair: Pair) -> None:
    key = PublicKey.from_base64(LOW_ORDER)
    await pair.client.add_peer(key, endpoint=("127.0.0.1", 9), allowed_ips=["192.0.2.0/24"])
    datagrams, inbox = await pair.client.create_datagram_endpoint(Inbox)
    datagrams.sendto(b"x", ("192.0.2.1", 53))
    async with asyncio.timeout(5):
        for attempt in (
            pair.client.wait_for_handshake(key),
            pair.client.ping("192.0.2.1"),
            pair.client.open_connection("192.0.2.1", 80),
        ):
            with pytest.raises(ImpossiblePeerError, match="is of low order") as caught:
                await attempt
            assert str(key) in str(caught.value)
    assert isinstance(inbox.errors[0], ImpossiblePeerError)
    datagrams.close()


async def test_the_server_can_call_back_a_client_that_called(pair: Pair) -> None:
    with pytest.raises(NoEndpointError):
        await pair.server.open_connection(CLIENT_V4, 7)
    await pair.client.ping(SERVER_V4)
    async with await pair.client.start_server(echo, port=7):
        reader, writer = await pair.server.open_connection(CLIENT_V4, 7)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        writer.close()
        await writer.wait_closed()


async def test_a_host_that_does_not_answer_is_told_from_a_peer_that_does_not(core: str) -> None:
    silent = "10.9.0.77"
    patience = Timeouts(connect=0.3, linger=1.0)
    # The handshakes are heard.
    async with joined(patience) as pair:
        peer = re.escape(str(pair.server_peer))
        expected = rf"10\.9\.0\.77 port 80 did not answer within 0\.3 s, though peer {peer}"
        with pytest.raises(ConnectTimeoutError, match=expected):
            await pair.client.open_connection(silent, 80)
        await nothing_held(pair.client)
    async with joined(patience) as pair:
        with pytest.raises(
            PingTimeoutError, match=r"10\.9\.0\.77 did not answer the ping within 0\.1 s, though"
        ):
            await pair.client.ping(silent, timeout=0.1)
        await nothing_held(pair.client)


async def test_a_peer_that_went_away_is_not_said_to_answer(quick_pair: Pair) -> None:
    await quick_pair.server.close()
    nothing = rf"and nothing else came from peer {re.escape(str(quick_pair.server_peer))}"
    with pytest.raises(PingTimeoutError, match=rf"within 0\.1 s, {nothing}"):
        await quick_pair.client.ping(SERVER_V4, timeout=0.1)
    with pytest.raises(ConnectTimeoutError, match=rf"within 0\.3 s, {nothing}"):
        await quick_pair.client.open_connection(SERVER_V4, 80)
    with pytest.raises(ResolutionTimeoutError, match="nothing else came through the tunnel"):
        await quick_pair.client.resolve("host.corp.example")


async def test_the_core_giving_up_ends_the_waiting(core: str, fake_core: None) -> None:
    ends = Ends()
    async with Tunnel(ends.client_config("127.0.0.1", 9), listen_address="127.0.0.1") as tunnel:
        waiting = [
            asyncio.ensure_future(tunnel.open_connection(SERVER_V4, 80)),
            asyncio.ensure_future(tunnel.ping(SERVER_V4)),
            asyncio.ensure_future(tunnel.wait_for_handshake()),
        ]
        await asyncio.sleep(0)
        fake(tunnel).give_up(ends.server_key.public_key)
        for result in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(result, HandshakeTimeoutError)


async def test_an_outer_port_in_use_is_named(core: str) -> None:
    async with Tunnel(Ends().server_config(), listen_address="127.0.0.1") as tunnel:
        port = tunnel.listen_port
        second = Tunnel(Ends().server_config(listen_port=port), listen_address="127.0.0.1")
        with pytest.raises(AddressError, match=f"UDP port {port} is in use by another program"):
            await second.open()


async def test_a_configuration_without_private_key_or_address_cannot_be_opened(core: str) -> None:
    with pytest.raises(TunnelError, match=r"no PrivateKey in its \[Interface\]"):
        await Tunnel(Config(Interface())).open()
    with pytest.raises(TunnelError, match=r"no Address in its \[Interface\]"):
        await Tunnel(Config(Interface(private_key=SecretKey.generate()))).open()


@pytest.mark.parametrize(
    ("interface", "words"),
    [
        ({"addresses": [ip_interface("127.0.0.1/8")]}, "127.0.0.1/8 is no address a host can have"),
        ({"addresses": [ip_interface(number) for number in range(2**24, 2**24 + 65)]}, "found 65"),
        ({"mtu": 1279}, "an MTU of 1279 is impossible here: expected 1280"),
    ],
)
async def test_what_the_core_refuses_of_the_interface_is_said(
    core: str, interface: dict[str, Any], words: str
) -> None:
    if core == "fake":
        pytest.skip("the fake core takes everything")
    with pytest.raises(TunnelError, match=re.escape(words)) as caught:
        await Tunnel(Ends().server_config(**interface), listen_address="127.0.0.1").open()
    assert caught.value.errno == errno.EINVAL
    assert r"[Interface]" in str(caught.value)


async def test_a_peer_with_the_tunnels_own_key_is_passed_over_as_the_kernel_does(core: str) -> None:
    key = SecretKey.generate()
    own = Peer(key.public_key, allowed_ips=(ip_network("10.0.0.0/8"),), endpoint=Endpoint("127.0.0.1", 9))
    interface = Interface(private_key=key, addresses=(ip_interface("10.9.0.1/24"),))
    async with Tunnel(Config(interface, (own,)), listen_address="127.0.0.1") as tunnel:
        assert tunnel.stats().peers == ()
        with pytest.raises(ValueError, match="own"):
            await tunnel.add_peer(key.public_key)
        with pytest.raises(NoRouteError, match=r"10\.0\.0\.1 .* at 127\.0\.0\.1:9, .* own public key"):
            await tunnel.ping("10.0.0.1")
        with pytest.raises(NoRouteError, match="no peer's allowed IPs cover it"):
            await tunnel.ping("192.0.2.1")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (errno.EHOSTUNREACH, UnreachableError, "A router behind the tunnel says so"),
        (errno.EMFILE, TunnelError, "limit of open connections"),
        (errno.EADDRINUSE, AddressError, "in use by another connection"),
        (errno.ECONNRESET, ConnectionResetError, "reset the connection"),
        (errno.ETIMEDOUT, ConnectTimeoutError, "did not answer. Is the host up"),
        (errno.EPERM, TunnelError, "Operation not permitted"),
    ],
)
async def test_each_error_of_the_core_has_words(code: int, kind: type[OSError], words: str) -> None:
    error = connect_error(OSError(code, ""), "10.0.0.1 port 80")
    assert type(error) is kind
    assert "10.0.0.1 port 80" in str(error)
    assert words in str(error)
    assert error.errno == code
    assert connect_error(error, "elsewhere") is error or not isinstance(error, TunnelError)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_each_end_of_a_connection_has_words() -> None:
    assert "stopped answering" in str(stream_error(errno.ETIMEDOUT, "x port 1"))
    assert isinstance(stream_error(errno.ETIMEDOUT, "x port 1"), TimeoutError)
    assert isinstance(stream_error(errno.ECONNRESET, "x port 1"), ConnectionResetError)
    assert isinstance(stream_error(errno.ECONNABORTED, "x port 1"), ConnectionAbortedError)
    assert "connection with x port 1 lost" in str(stream_error(errno.EPIPE, "x port 1"))
