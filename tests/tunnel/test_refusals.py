"""What the core refuses, and handlers that fail: told to whom it concerns, and to nobody else."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.tunnel.pairs import CLIENT_V4, SERVER_V4, Ends, Pair, fake, nothing_held
from tests.tunnel.test_datagrams import Inbox
from tests.tunnel.test_streams import echo
from tests.tunnel.test_transport import Recorder, errors_of, joined_protocols
from wirewright.keys import SecretKey
from wirewright.tunnel import BlockingTunnel, Tunnel, TunnelClosed, TunnelError
from wirewright.tunnel.errors import AddressError, ConnectTimeoutError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio


def refusing(code: int) -> Callable[..., Any]:
    """Return a method of the core that raises."""

    def refuse(*arguments: object, **keywords: object) -> Any:
        raise OSError(code, os.strerror(code))

    return refuse


async def test_the_tunnels_own_address_is_not_behind_it(pair: Pair) -> None:
    with pytest.raises(AddressError, match=r"10\.9\.0\.1 is this tunnel's own address"):
        await pair.client.ping(CLIENT_V4)


async def test_a_ping_that_is_too_long_is_refused(pair: Pair, core: str) -> None:
    if core == "fake":
        pytest.skip("the fake core has no packets")
    with pytest.raises(TunnelError, match="at most 1392") as caught:
        await pair.client.ping(SERVER_V4, payload=70_000)
    assert caught.value.errno == errno.EMSGSIZE


@pytest.mark.parametrize("port", [-1, 65536, 0])
async def test_a_port_that_cannot_be_is_an_error(pair: Pair, port: int) -> None:
    with pytest.raises(ValueError, match=f"port {port} is not from 1 to 65535"):
        await pair.client.open_connection(SERVER_V4, port)
    with pytest.raises(ValueError, match=f"port {port} is not"):
        await pair.client.create_datagram_endpoint(Inbox, remote_addr=(SERVER_V4, port))
    if port != 0:
        with pytest.raises(ValueError, match=f"port {port} is not from 0 to 65535"):
            await pair.client.start_server(echo, port=port)
        with pytest.raises(ValueError, match=f"port {port} is not"):
            await pair.client.create_datagram_endpoint(Inbox, local_addr=(None, port))
        with pytest.raises(ValueError, match=f"port {port} is not"):
            await pair.client.open_connection(SERVER_V4, 80, local_port=port)


@pytest.mark.parametrize("wrong", ["80", 80.0, None])
async def test_a_port_that_is_no_number_is_an_error(pair: Pair, wrong: Any) -> None:
    client, _ = await pair.client.create_datagram_endpoint(Inbox)
    with pytest.raises(TypeError, match=f"port {wrong!r} is not a whole number"):
        await pair.client.open_connection(SERVER_V4, wrong)
    with pytest.raises(TypeError, match=f"port {wrong!r} is not a whole number"):
        client.sendto(b"x", (SERVER_V4, wrong))
    client.close()


async def test_a_host_that_is_no_string_is_an_error(pair: Pair) -> None:
    wrong: Any = 5
    for attempt in (pair.client.ping, pair.client.resolve):
        with pytest.raises(TypeError, match="host 5 is not a string"):
            await attempt(wrong)
    with pytest.raises(TypeError, match="host 5 is not a string"):
        await pair.client.open_connection(wrong, 80)


@pytest.mark.parametrize("port", [-1, 0, 65536])
async def test_a_datagram_cannot_go_to_a_port_that_cannot_be(pair: Pair, port: int) -> None:
    client, _ = await pair.client.create_datagram_endpoint(Inbox)
    with pytest.raises(ValueError, match=f"port {port} is not from 1 to 65535"):
        client.sendto(b"x", (SERVER_V4, port))
    client.close()


async def test_numbers_out_of_range_are_named(pair: Pair) -> None:
    with pytest.raises(ValueError, match="payload -1 is not 0 or more"):
        await pair.client.ping(SERVER_V4, payload=-1)
    with pytest.raises(ValueError, match="backlog -1 is not 1 or more"):
        await pair.client.start_server(echo, backlog=-1)
    stranger = SecretKey.generate().public_key
    for seconds in (-1, 65536):
        expected = f"persistent_keepalive {seconds} is not from 0 to 65535"
        with pytest.raises(ValueError, match=expected):
            await pair.client.add_peer(stranger, persistent_keepalive=seconds)
        with pytest.raises(ValueError, match=expected):
            await pair.client.update_peer(pair.server_peer, persistent_keepalive=seconds)
    for shards in (0, 65, 999):
        with pytest.raises(ValueError, match=f"shards {shards} is not from 1 to 64"):
            Tunnel(pair.ends.server_config(), shards=shards)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("kind", [Tunnel, BlockingTunnel])
async def test_a_misspelt_option_of_a_tunnel_is_refused(kind: type[Any], tmp_path: Path) -> None:
    path = tmp_path / "office.conf"
    Ends().server_config().write(path)
    with pytest.raises(TypeError, match="listen_adress"):
        kind.from_file(path, listen_adress="127.0.0.1")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("kind", [Tunnel, BlockingTunnel])
async def test_a_path_in_place_of_a_configuration_is_told_where_to_go(kind: Callable[..., object]) -> None:
    with pytest.raises(TypeError, match=r"not 'office\.conf'; to open a file, write .*from_file"):
        kind("office.conf")


async def test_a_router_that_says_unreachable_is_quoted(
    pair: Pair, fake_core: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = fake(pair.client)

    def ping(address: str, payload: int) -> int:
        core.post("unreachable", 4242, "host unreachable")
        return 4242

    monkeypatch.setattr(core, "ping", ping)
    with pytest.raises(UnreachableError, match=r"10\.9\.0\.2 is unreachable: host unreachable"):
        await pair.client.ping(SERVER_V4)


async def test_a_core_without_room_says_so(
    pair: Pair, fake_core: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for method in ("connect", "ping", "listen", "bind"):
        monkeypatch.setattr(fake(pair.client), method, refusing(errno.EMFILE))
    with pytest.raises(TunnelError, match="limit of open connections"):
        await pair.client.open_connection(SERVER_V4, 80)
    for attempt in (
        pair.client.ping(SERVER_V4),
        pair.client.start_server(echo),
        pair.client.create_datagram_endpoint(Inbox),
    ):
        with pytest.raises(OSError) as caught:  # noqa: PT011 (the number is what counts)
            await attempt
        assert caught.value.errno == errno.EMFILE
    await nothing_held(pair.client)


async def test_a_connection_that_times_out_says_so(pair: Pair, fake_core: None) -> None:
    near, far = await joined_protocols(pair)
    (connection,) = fake(pair.client).connections.values()
    connection.reset(errno.ETIMEDOUT)
    await near.lost()
    assert isinstance(near.error, ConnectTimeoutError)
    assert "stopped answering" in str(near.error)
    far.transport.abort()


@pytest.mark.parametrize("call", ["read", "write"])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ETIMEDOUT, TimeoutError),
        (errno.ECONNRESET, ConnectionResetError),
        (errno.ECONNABORTED, ConnectionAbortedError),
    ],
)
async def test_what_reading_or_writing_meets_is_told_with_its_cause(
    pair: Pair, fake_core: None, monkeypatch: pytest.MonkeyPatch, call: str, code: int, kind: type[OSError]
) -> None:
    near, far = await joined_protocols(pair)
    (connection,) = fake(pair.client).connections.values()

    def fail(_: object) -> None:
        raise OSError(code, "as the core says it")

    monkeypatch.setattr(connection, call, fail)
    if call == "read":
        fake(pair.client).post("readable", connection.id)
    else:
        near.transport.write(b"x")
    await near.lost()
    assert isinstance(near.error, kind)
    assert near.error.errno == code
    assert f"{SERVER_V4} port 80" in str(near.error)
    far.transport.abort()


async def test_a_half_open_connection_that_is_reset_is_lost(pair: Pair) -> None:
    near, far = await joined_protocols(pair, near=Recorder(keep_open=True))
    far.transport.write_eof()
    await near.when(lambda: "eof" in near.calls)
    far.transport.abort()
    await near.lost()
    assert isinstance(near.error, ConnectionResetError)


async def test_a_write_after_the_core_ended_is_a_closed_tunnel(pair: Pair, fake_core: None) -> None:
    near, _ = await joined_protocols(pair)
    _, inbox = await pair.client.create_datagram_endpoint(Inbox, remote_addr=(SERVER_V4, 53))
    fake(pair.client).close()
    near.transport.write(b"x")
    inbox.transport.sendto(b"x")
    await near.lost()
    assert isinstance(near.error, TunnelClosed)
    assert isinstance(await inbox.lost, TunnelClosed)


async def test_a_handler_that_fails_does_not_starve_the_others(pair: Pair) -> None:
    errors = errors_of(asyncio.get_running_loop())

    class Failing:
        def core_event(self, kind: str, detail: object) -> None:
            raise ValueError("event")

        def tunnel_closed(self, error: OSError) -> None:
            raise ValueError("closed")

    assert pair.client._context is not None
    dispatcher = pair.client._context.dispatcher
    near, far = await joined_protocols(pair)
    ident = near.transport._connection.id
    dispatcher.add(ident, Failing())
    far.transport.write(b"x")
    await pair.client.ping(SERVER_V4)
    await pair.client.close()
    assert {str(error["exception"]) for error in errors} == {"event", "closed"}
    far.transport.abort()


async def test_a_protocol_that_fails_to_pause_is_reported(pair: Pair) -> None:
    errors = errors_of(asyncio.get_running_loop())

    class Failing(Recorder):
        def pause_writing(self) -> None:
            raise ValueError("cannot pause")

    near, far = await joined_protocols(pair, near=Failing())
    far.transport.pause_reading()
    near.transport.set_write_buffer_limits(low=0)
    near.transport.write(bytes(16 * 1024 * 1024))
    assert str(errors[0]["exception"]) == "cannot pause"
    near.transport.abort()
    await near.lost()
    # It reads nothing, so it learns of the reset only when it wants to.
    far.transport.abort()


async def test_a_connection_made_that_fails_leaves_no_connection(pair: Pair) -> None:
    class Failing(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            raise ValueError("not me")

    async with await pair.server.start_server(echo, port=7):
        for factory in (Failing, lambda: 1 // 0):
            with pytest.raises((ValueError, ZeroDivisionError)):
                await pair.client.create_connection(factory, SERVER_V4, 7)  # type: ignore[type-var]
        await nothing_held(pair.client)
