"""The tunnel for scripts: no event loop in sight."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from tests.tunnel.certificates import contexts
from tests.tunnel.pairs import CLIENT_V4, QUICK, SERVER_V4, Ends
from tests.tunnel.test_lifecycle import in_child
from tests.tunnel.test_streams import echo
from wirewright import BlockingTunnel
from wirewright.keys import SecretKey
from wirewright.tunnel import TunnelClosed
from wirewright.tunnel.errors import AddressError, HandshakeTimeoutError, PingTimeoutError, RefusedError
from wirewright.tunnel.forks import FORKED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUEST = b"GET / HTTP/1.1\r\nHost: 10.9.0.2\r\nAccept-Encoding: identity\r\n\r\n"
RESPONSE = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello from inside"


async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(RESPONSE)
    writer.close()


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.read()
    except ConnectionError:
        return
    writer.close()


@pytest.fixture
def server(core: str) -> Iterator[tuple[BlockingTunnel, Ends]]:
    """A server with an echo, a web page over HTTP and HTTPS, and somebody who says nothing."""
    ends = Ends()
    with BlockingTunnel(ends.server_config(), listen_address="127.0.0.1") as tunnel:
        inner = tunnel._tunnel
        tunnel.call(inner.start_server(echo, port=7))
        tunnel.call(inner.start_server(web, port=80))
        tunnel.call(inner.start_server(mute, port=9))
        tunnel.call(inner.start_server(web, port=443, ssl=contexts()[0]))
        yield tunnel, ends


@pytest.fixture
def tunnel(server: tuple[BlockingTunnel, Ends]) -> Iterator[BlockingTunnel]:
    config = server[1].client_config("127.0.0.1", server[0].listen_port)
    with BlockingTunnel(config, listen_address="127.0.0.1") as tunnel:
        yield tunnel


def test_a_connection_is_used_like_a_socket(tunnel: BlockingTunnel) -> None:
    with tunnel.connect(SERVER_V4, 7) as connection:
        assert connection.getpeername() == (SERVER_V4, 7)
        assert connection.getsockname()[0] == CLIENT_V4
        connection.sendall(b"hello")
        assert connection.send(memoryview(b"!")) == 1
        buffer = bytearray(6)
        view = memoryview(buffer)
        while view:
            view = view[connection.recv_into(view) :]
        assert buffer == b"hello!"
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
        assert "open" in repr(connection)
    assert "closed" in repr(connection)
    with pytest.raises(OSError, match="connection is closed"):
        connection.recv(1)


def test_a_connection_is_used_like_a_file(tunnel: BlockingTunnel) -> None:
    connection = tunnel.connect(SERVER_V4, 7)
    with connection.makefile("rwb") as file, connection.makefile("r", encoding="utf-8") as text:
        connection.close()
        file.write(b"first\nsecond \xc3\xa9\n")
        file.flush()
        assert file.readline() == b"first\n"
        del text
    with pytest.raises(OSError, match="connection is closed"):
        connection.send(b"x")


def test_a_text_file_reads_lines(tunnel: BlockingTunnel) -> None:
    with tunnel.connect(SERVER_V4, 7) as connection, connection.makefile("rw", encoding="utf-8") as file:
        file.write("zwölf\n")
        file.flush()
        assert file.readline() == "zwölf\n"
    with tunnel.connect(SERVER_V4, 7) as connection, connection.makefile("wb", buffering=0) as raw:
        raw.write(b"abc")
        assert connection.recv(3) == b"abc"
        with pytest.raises(ValueError, match="must be binary"):
            connection.makefile("r", buffering=0)
        with pytest.raises(ValueError, match="invalid mode"):
            connection.makefile("a")


def test_the_standard_librarys_http_client_works_on_a_connection(tunnel: BlockingTunnel) -> None:
    client = http.client.HTTPConnection(SERVER_V4)
    client.sock = tunnel.connect(SERVER_V4, 80)
    client.request("GET", "/")
    assert client.getresponse().read() == b"hello from inside"


def test_tls_is_one_argument(tunnel: BlockingTunnel) -> None:
    with tunnel.connect(SERVER_V4, 443, ssl=contexts()[1]) as connection:
        connection.sendall(REQUEST)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as file:
            assert file.read() == RESPONSE


def test_megabytes_pass(tunnel: BlockingTunnel) -> None:
    payload = bytes(range(256)) * 8192
    with tunnel.connect(SERVER_V4, 7) as connection:
        sender = threading.Thread(target=connection.sendall, args=(payload,))
        sender.start()
        with connection.makefile("rb") as file:
            assert file.read(len(payload)) == payload
        sender.join()


def test_a_time_limit_is_a_timeout_error(tunnel: BlockingTunnel) -> None:
    with tunnel.connect(SERVER_V4, 9, timeout=5) as connection:
        assert connection.gettimeout() == 5
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError, match=r"10\.9\.0\.2 port 9: timed out after 0\.05 s"):
            connection.recv(1)


def test_questions_have_answers(tunnel: BlockingTunnel) -> None:
    assert tunnel.ping(SERVER_V4) > 0
    assert tunnel.resolve(SERVER_V4) == [ip_address(SERVER_V4)]
    assert tunnel.stats().netstack["connections"] == 0
    assert tunnel.addresses[0] == CLIENT_V4
    assert not tunnel.closed
    tunnel.wait_for_handshake()
    with pytest.raises(RefusedError):
        tunnel.connect(SERVER_V4, 12345)
    with pytest.raises(PingTimeoutError):
        tunnel.ping("10.9.0.77", timeout=0.1)


def test_peers_come_and_go(tunnel: BlockingTunnel) -> None:
    key = SecretKey.generate().public_key
    tunnel.add_peer(key, allowed_ips=["192.0.2.0/24"])
    tunnel.update_peer(key, persistent_keepalive=25)
    assert {peer.persistent_keepalive for peer in tunnel.stats().peers} == {None, 25}
    assert tunnel.remove_peer(key)
    assert not tunnel.remove_peer(key)


def test_many_threads_share_a_tunnel(tunnel: BlockingTunnel) -> None:
    def ask(number: int) -> bytes:
        with tunnel.connect(SERVER_V4, 7) as connection, connection.makefile("rb") as file:
            connection.sendall(b"%d\n" % number)
            line: bytes = file.readline()
            return line

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(64))) == [b"%d\n" % number for number in range(64)]


def test_it_works_beside_a_running_loop_as_in_a_notebook(tunnel: BlockingTunnel) -> None:
    async def cell() -> float:
        return tunnel.ping(SERVER_V4)

    assert asyncio.run(cell()) > 0


def test_it_does_not_wait_for_itself(tunnel: BlockingTunnel) -> None:
    async def inside() -> None:
        tunnel.ping(SERVER_V4)

    with pytest.raises(RuntimeError, match="wait for itself"):
        tunnel.call(inside())


def test_it_is_opened_from_a_file(core: str, tmp_path: Path) -> None:
    path = tmp_path / "office.conf"
    Ends().client_config("127.0.0.1", 9).write(path)
    with BlockingTunnel.from_file(path, listen_address="127.0.0.1", timeouts=QUICK) as tunnel:
        assert "BlockingTunnel over <Tunnel open" in repr(tunnel)
        with pytest.raises(HandshakeTimeoutError):
            tunnel.connect(SERVER_V4, 80)
        with pytest.raises(RuntimeError, match="opened before"):
            tunnel.open()
    tunnel.close()
    assert tunnel.closed
    with pytest.raises(TunnelClosed):
        tunnel.ping(SERVER_V4)


def test_a_tunnel_that_is_not_open_says_so(core: str) -> None:
    tunnel = BlockingTunnel(Ends().server_config())
    with pytest.raises(RuntimeError, match="use it inside 'with tunnel:'"):
        tunnel.ping(SERVER_V4)
    tunnel.close()


def test_a_tunnel_that_cannot_open_leaves_no_thread(server: tuple[BlockingTunnel, Ends]) -> None:
    before = threading.active_count()
    config = Ends().server_config(listen_port=server[0].listen_port)
    with pytest.raises(AddressError, match="in use by another program"):
        BlockingTunnel(config, listen_address="127.0.0.1").open()
    assert threading.active_count() == before


def test_closing_wakes_who_waits_in_another_thread(tunnel: BlockingTunnel) -> None:
    connection = tunnel.connect(SERVER_V4, 9)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(connection.recv, 1)
        while not waiting.running():
            time.sleep(0.001)
        tunnel.ping(SERVER_V4)
        tunnel.close()
        with pytest.raises(TunnelClosed):
            waiting.result()
    connection.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_finds_it_closed_and_the_parent_is_unaffected(tunnel: BlockingTunnel) -> None:
    connection = tunnel.connect(SERVER_V4, 7)

    def check() -> None:
        assert tunnel.closed
        with pytest.raises(TunnelClosed, match=FORKED):
            tunnel.ping(SERVER_V4)
        with pytest.raises(TunnelClosed, match=FORKED):
            connection.recv(1)
        connection.close()
        tunnel.close()

    assert in_child(check) == 0
    connection.sendall(b"parent")
    assert connection.recv(6) == b"parent"
    connection.close()
