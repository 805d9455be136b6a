"""httpx2's clients over a tunnel."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING

import httpcore2
import httpx2
import pytest

from tests.proxy.proxies import NAME, named, refuse_names
from tests.proxy.test_http_proxy import web
from tests.tunnel.certificates import NAME as SECURE_NAME
from tests.tunnel.certificates import contexts
from tests.tunnel.pairs import CLIENT_V4, QUICK, SERVER_V4, SERVER_V6, joined, nothing_held
from tests.tunnel.test_resolve import Zone
from wirewright.http import BlockingTunnelTransport, TunnelTransport
from wirewright.http.backend import TunnelBackend
from wirewright.tunnel import BlockingTunnel

if TYPE_CHECKING:
    from tests.tunnel.pairs import Pair

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("host", [SERVER_V4, f"[{SERVER_V6}]"])
async def test_a_client_asks_through_the_tunnel(pair: Pair, host: str) -> None:
    async with await pair.server.start_server(web, port=80):
        async with httpx2.AsyncClient(transport=TunnelTransport(pair.client)) as client:
            body = b"x" * 3_000_000
            assert (await client.get(f"http://{host}/page")).text == "GET /page HTTP/1.1|"
            assert (await client.post(f"http://{host}/form", content=body)).content.endswith(b"|" + body)
            # Both on one connection, which is kept.
            assert pair.client.stats().netstack["connections"] == 1
    await nothing_held(pair.client)


async def test_names_are_asked_inside_the_tunnel(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_names(monkeypatch)
    async with await pair.server.start_server(web, port=80), named(pair) as zone:
        async with httpx2.AsyncClient(transport=TunnelTransport(pair.client)) as client:
            assert (await client.get(f"http://{NAME}/")).status_code == 200
            with pytest.raises(httpx2.ConnectError, match="nobody"):
                await client.get("http://nobody.corp.example/")
    assert zone.asked


async def test_tls_is_checked_against_the_name(pair: Pair) -> None:
    serving, trusting = contexts()
    zone = Zone({f"{SECURE_NAME}.": [SERVER_V4], "other.corp.example.": [SERVER_V4]})
    await pair.server.create_datagram_endpoint(lambda: zone, local_addr=(None, 53))
    transport = TunnelTransport(pair.client, verify=trusting)
    async with await pair.server.start_server(web, port=443, ssl=serving):
        async with httpx2.AsyncClient(transport=transport) as client:
            assert (await client.get(f"https://{SECURE_NAME}/")).text == "GET / HTTP/1.1|"
            with pytest.raises(httpx2.ConnectError, match="certificate"):
                await client.get("https://other.corp.example/")
    await nothing_held(pair.client)


async def test_who_is_not_trusted_is_refused(pair: Pair) -> None:
    serving, _ = contexts()
    async with await pair.server.start_server(web, port=443, ssl=serving):
        async with httpx2.AsyncClient(transport=TunnelTransport(pair.client)) as client:
            with pytest.raises(httpx2.ConnectError, match="certificate"):
                await client.get(f"https://{SERVER_V4}/")


async def test_failures_are_httpxs_own_with_the_tunnels_words(pair: Pair) -> None:
    async with httpx2.AsyncClient(transport=TunnelTransport(pair.client)) as client:
        with pytest.raises(httpx2.ConnectError, match="refused the connection"):
            await client.get(f"http://{SERVER_V4}:9/")
        with pytest.raises(httpx2.ConnectError, match=r"192\.0\.2\.1"):
            await client.get("http://192.0.2.1/")


async def test_a_silent_host_is_a_timeout(core: str) -> None:
    async with joined(QUICK) as pair:
        await pair.client.wait_for_handshake(timeout=10)
        async with httpx2.AsyncClient(transport=TunnelTransport(pair.client)) as client:
            with pytest.raises(httpx2.ConnectTimeout, match="did not answer"):
                await client.get("http://10.9.0.77/", timeout=None)


async def test_a_server_that_does_not_answer_is_a_timeout(pair: Pair) -> None:
    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await pair.server.start_server(wait, port=80):
        async with httpx2.AsyncClient(transport=TunnelTransport(pair.client)) as client:
            with pytest.raises(httpx2.ReadTimeout):
                await client.get(f"http://{SERVER_V4}/", timeout=httpx2.Timeout(5, read=0.05))
    await nothing_held(pair.client)


async def test_an_answer_that_breaks_off_is_told(pair: Pair) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    async with await pair.server.start_server(half, port=80):
        async with httpx2.AsyncClient(transport=TunnelTransport(pair.client)) as client:
            async with client.stream("GET", f"http://{SERVER_V4}/") as answer:
                with pytest.raises(httpx2.RemoteProtocolError):
                    await answer.aread()


async def test_a_connection_that_the_server_closed_is_not_used_again(pair: Pair) -> None:
    closed = asyncio.Event()

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()
        await writer.wait_closed()
        closed.set()

    async with await pair.server.start_server(once, port=80):
        async with httpx2.AsyncClient(transport=TunnelTransport(pair.client)) as client:
            for _ in range(3):
                closed.clear()
                assert (await client.get(f"http://{SERVER_V4}/")).text == "ok"
                await closed.wait()
                await pair.client.ping(SERVER_V4)


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_connection_on_which_the_server_spoke_unasked_is_not_used_again(
    pair: Pair, scheme: str, *, ends: bool
) -> None:
    serving, trusting = contexts()
    idle, spoken = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await idle.wait()
        writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        if ends:
            writer.close()
        spoken.set()
        await reader.read()
        writer.close()

    tls = serving if scheme == "https" else None
    async with await pair.server.start_server(talk, port=80, ssl=tls):
        transport = TunnelTransport(pair.client, verify=trusting)
        async with httpx2.AsyncClient(transport=transport) as client:
            extensions = {"sni_hostname": SECURE_NAME}
            for _ in range(3):
                idle.clear()
                spoken.clear()
                answer = await client.get(f"{scheme}://{SERVER_V4}:80/", extensions=extensions)
                assert (answer.status_code, answer.text) == (200, "ok")
                idle.set()
                await spoken.wait()
                # Comes back behind what was said.
                await pair.client.ping(SERVER_V4)
                await pair.client.ping(SERVER_V4)
    await nothing_held(pair.client)


async def test_bytes_from_before_tls_are_not_taken_for_what_it_brought(pair: Pair) -> None:
    _, trusting = contexts()

    async def inject(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    async with await pair.server.start_server(inject, port=443):
        stream = await TunnelBackend(pair.client).connect_tcp(SERVER_V4, 443, timeout=10)
        await pair.client.ping(SERVER_V4)
        await pair.client.ping(SERVER_V4)
        with pytest.raises(httpcore2.ConnectError, match="before TLS"):
            await stream.start_tls(trusting, SECURE_NAME, timeout=1)
    await nothing_held(pair.client)


async def test_a_blocking_client_asks_through_a_blocking_tunnel(pair: Pair) -> None:
    serving, trusting = contexts()

    def ask() -> tuple[str, str, bytes]:
        config = pair.ends.client_config("127.0.0.1", pair.server.listen_port)
        with (
            BlockingTunnel(config, listen_address="127.0.0.1") as tunnel,
            httpx2.Client(transport=BlockingTunnelTransport(tunnel, verify=trusting)) as client,
        ):
            first = client.get(f"http://{SERVER_V4}/").text
            headers = {"sni_hostname": SECURE_NAME}
            second = client.get(f"https://{SERVER_V4}/", extensions=headers).text
            with pytest.raises(httpx2.ConnectError, match="refused the connection"):
                client.get(f"http://{SERVER_V4}:9/")
            body = client.post(f"http://{SERVER_V4}/", content=b"x" * 1_000_000).content
            return first, second, body

    await pair.client.close()
    async with (
        await pair.server.start_server(web, port=80),
        await pair.server.start_server(web, port=443, ssl=serving),
    ):
        first, second, body = await asyncio.to_thread(ask)
    assert first == second == "GET / HTTP/1.1|"
    assert len(body) > 1_000_000


async def test_a_blocking_client_outlives_its_tunnel_with_an_error(pair: Pair) -> None:
    def ask() -> None:
        config = pair.ends.client_config("127.0.0.1", pair.server.listen_port)
        with BlockingTunnel(config, listen_address="127.0.0.1") as tunnel:
            with httpx2.Client(transport=BlockingTunnelTransport(tunnel)) as client:
                client.get(f"http://{SERVER_V4}/")
                tunnel.close()
                with pytest.raises(httpx2.NetworkError, match="closed"):
                    client.get(f"http://{SERVER_V4}:81/")

    await pair.client.close()
    async with await pair.server.start_server(web, port=80):
        await asyncio.to_thread(ask)


async def test_what_a_tunnel_has_not_is_refused(pair: Pair) -> None:
    backend = TunnelBackend(pair.client)
    with pytest.raises(httpcore2.ConnectError, match="not an address of this tunnel"):
        await backend.connect_tcp(SERVER_V4, 80, local_address="192.0.2.1")
    with pytest.raises(httpcore2.ConnectError, match="behind a tunnel"):
        await backend.connect_unix_socket("/run/some.sock")
    assert CLIENT_V4 in pair.client.addresses


def test_without_httpx2_it_says_how_to_install_it() -> None:
    code = (
        "import sys; sys.modules['httpx2'] = None\n"
        "try: import wirewright.http\nexcept ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'wirewright[http]'" in done.stdout
