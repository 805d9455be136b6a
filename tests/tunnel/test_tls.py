"""TLS inside the tunnel, for clients and servers, from the start and in mid-stream."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING

import pytest

from tests.tunnel.certificates import NAME, contexts
from tests.tunnel.pairs import SERVER_V4, Pair, joined, nothing_held
from tests.tunnel.test_streams import echo
from tests.tunnel.test_transport import Recorder, errors_of
from wirewright.tunnel import Timeouts, TunnelClosed
from wirewright.tunnel.transport import StreamTransport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.anyio


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((await reader.readline()).upper())
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_a_tls_client_talks_to_a_tls_server(pair: Pair) -> None:
    server_context, client_context = contexts()
    async with await pair.server.start_server(shout, port=443, ssl=server_context):
        reader, writer = await pair.client.open_connection(SERVER_V4, 443, ssl=client_context)
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        assert writer.get_extra_info("peername") == (SERVER_V4, 443)
        assert writer.get_extra_info("tunnel") is pair.client
        writer.write(b"hello\n")
        assert await reader.read() == b"HELLO\n"
        writer.close()
        await writer.wait_closed()


async def test_the_expected_name_can_differ_from_the_host(pair: Pair) -> None:
    server_context, client_context = contexts()
    async with await pair.server.start_server(shout, port=443, ssl=server_context):
        reader, writer = await pair.client.open_connection(
            SERVER_V4, 443, ssl=client_context, server_hostname=NAME
        )
        writer.write(b"hello\n")
        assert await reader.read() == b"HELLO\n"
        writer.close()
        await writer.wait_closed()


async def test_megabytes_pass_through_tls(pair: Pair) -> None:
    server_context, client_context = contexts()
    payload = bytes(range(256)) * 8192
    async with await pair.server.start_server(echo, port=443, ssl=server_context):
        reader, writer = await pair.client.open_connection(SERVER_V4, 443, ssl=client_context)

        async def send() -> None:
            for start in range(0, len(payload), 65536):
                writer.write(payload[start : start + 65536])
                await writer.drain()

        _, received = await asyncio.gather(send(), reader.readexactly(len(payload)))
        assert received == payload
        writer.close()
        await writer.wait_closed()


async def test_a_certificate_that_nobody_signed_is_refused(pair: Pair) -> None:
    errors_of(asyncio.get_running_loop())
    server_context, _ = contexts()
    async with await pair.server.start_server(shout, port=443, ssl=server_context):
        with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
            await pair.client.open_connection(SERVER_V4, 443, ssl=True)
    await nothing_held(pair.client)


async def test_a_wrong_name_is_refused(pair: Pair) -> None:
    errors_of(asyncio.get_running_loop())
    server_context, client_context = contexts()
    async with await pair.server.start_server(shout, port=443, ssl=server_context):
        with pytest.raises(ssl.SSLCertVerificationError, match=r"wrong\.example"):
            await pair.client.open_connection(
                SERVER_V4, 443, ssl=client_context, server_hostname="wrong.example"
            )


async def test_a_server_that_speaks_no_tls_is_an_error_within_the_time_given(pair: Pair) -> None:
    async with await pair.server.start_server(lambda _, writer: silent(writer), port=443) as server:
        with pytest.raises(ConnectionAbortedError, match="SSL handshake is taking longer"):
            await pair.client.open_connection(SERVER_V4, 443, ssl=contexts()[1], ssl_handshake_timeout=0.1)
        server.abort_clients()


async def silent(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_cancelling_a_tls_handshake_leaves_no_connection(pair: Pair) -> None:
    accepted = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        accepted.set()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

    async with await pair.server.start_server(handler, port=443):
        task = asyncio.ensure_future(pair.client.open_connection(SERVER_V4, 443, ssl=contexts()[1]))
        await accepted.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await nothing_held(pair.client)


@pytest.mark.parametrize("by", ["writer", "tunnel", "loop"])
async def test_a_plain_connection_is_upgraded(pair: Pair, by: str) -> None:
    loop = asyncio.get_running_loop()
    if by == "loop" and type(loop).__module__.startswith("uvloop"):
        pytest.skip("uvloop's own start_tls takes its own transports only")
    server_context, client_context = contexts()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go ahead\n")
        await writer.start_tls(server_context)
        await shout(reader, writer)

    async with await pair.server.start_server(handler, port=25):
        if by == "writer":
            reader, writer = await pair.client.open_connection(SERVER_V4, 25)
            writer.write(b"STARTTLS\n")
            assert await reader.readline() == b"go ahead\n"
            await writer.start_tls(client_context, server_hostname=NAME)
            assert writer.get_extra_info("ssl_object") is not None
            writer.write(b"secret\n")
            assert await reader.read() == b"SECRET\n"
            writer.close()
            await writer.wait_closed()
            return
        transport, protocol = await pair.client.create_connection(Recorder, SERVER_V4, 25)
        transport.write(b"STARTTLS\n")
        await protocol.when(lambda: protocol.data == b"go ahead\n")
        upgrade: Callable[..., Awaitable[asyncio.Transport | None]]
        upgrade = pair.client.start_tls if by == "tunnel" else loop.start_tls
        secure = await upgrade(transport, protocol, client_context, server_hostname=NAME)
        assert secure is not None
        secure.write(b"secret\n")
        await protocol.lost()
        assert protocol.data == b"go ahead\nSECRET\n"
        assert protocol.calls == ["made", "eof", "lost"]


async def test_an_upgrade_that_fails_ends_the_connection(pair: Pair) -> None:
    async with await pair.server.start_server(shout, port=25):
        transport, protocol = await pair.client.create_connection(Recorder, SERVER_V4, 25)
        assert isinstance(transport, StreamTransport)
        errors_of(asyncio.get_running_loop())
        starting = pair.client.start_tls(transport, protocol, contexts()[1], server_hostname=NAME)
        transport.write(b"no tls\n")
        # The server may reset the connection because it has not read all of the greeting.
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await starting
        assert transport.is_closing()


async def test_closing_the_tunnel_during_a_handshake_is_an_error(core: str) -> None:
    async with joined(Timeouts(linger=0.1)) as pair:
        server = await pair.server.start_server(lambda _, writer: silent(writer), port=443)
        task = asyncio.ensure_future(pair.client.open_connection(SERVER_V4, 443, ssl=contexts()[1]))
        await pair.client.ping(SERVER_V4)
        await pair.client.ping(SERVER_V4)
        await pair.client.close()
        with pytest.raises(TunnelClosed):
            await task
        server.abort_clients()


async def test_wrong_tls_arguments_are_explained(pair: Pair) -> None:
    with pytest.raises(ValueError, match="server_hostname= makes sense with ssl= only"):
        await pair.client.open_connection(SERVER_V4, 443, server_hostname="x")
    with pytest.raises(TypeError, match=r"takes an ssl\.SSLContext or True"):
        await pair.client.open_connection(SERVER_V4, 443, ssl="yes")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs a certificate"):
        await pair.server.start_server(shout, port=443, ssl=True)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="checked against some name"):
        await pair.client.open_connection(SERVER_V4, 443, ssl=True, server_hostname="")
