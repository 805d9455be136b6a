"""A tunnel that carries its peers' connections, datagrams and pings to what the host can reach.

The gateway, its peers and what they reach live in one process and one network; the addresses outside are the
host's own, which is why most gateways here are told to reach those.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import struct
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_interface, ip_network
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.lab.outside import (
    HERE,
    HERE6,
    PROHIBITED,
    SILENT,
    UNREACHABLE,
    fresh_network,
    serving,
    sysctl,
)
from tests.tunnel.test_streams import echo
from wirewright import Forwarding
from wirewright.config import Config, Endpoint, Interface, Peer
from wirewright.keys import SecretKey
from wirewright.tunnel import Timeouts, Tunnel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = pytest.mark.anyio

LOOPBACK = "127.0.0.1"
BOTH = Forwarding(host=True)
PATIENT = Timeouts(connect=20.0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _network() -> Iterator[None]:
    with fresh_network():
        yield


def client_config(key: SecretKey, number: int, gateway: SecretKey, port: int) -> Config:
    """One of the peers, which sends everything to the gateway."""
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    peer = Peer(gateway.public_key, allowed_ips=everything, endpoint=Endpoint(LOOPBACK, port))
    addresses = (ip_interface(f"10.9.0.{number}/24"), ip_interface(f"fd09::{number}/64"))
    return Config(Interface(private_key=key, addresses=addresses), (peer,))


class Gateway:
    """A gateway and its peers, numbered from 11."""

    def __init__(self, tunnel: Tunnel, peers: list[Tunnel]) -> None:
        self.tunnel = tunnel
        self.peers = peers

    def __getitem__(self, name: str) -> int:
        return self.tunnel.stats().forwarding[name]

    async def settle(self, name: str, wanted: int) -> None:
        """Return when a counter has come to that number."""
        async with asyncio.timeout(20):
            while self[name] != wanted:  # noqa: ASYNC110 (no event tells)
                await asyncio.sleep(0.002)


@asynccontextmanager
async def gateway(
    forwarding: Forwarding = BOTH, *, peers: int = 1, timeouts: Timeouts = PATIENT
) -> AsyncIterator[Gateway]:
    own = SecretKey.generate()
    keys = {number: SecretKey.generate() for number in range(11, 11 + peers)}
    entries = tuple(
        Peer(key.public_key, allowed_ips=(ip_network(f"10.9.0.{number}"), ip_network(f"fd09::{number}")))
        for number, key in keys.items()
    )
    addresses = (ip_interface("10.9.0.1/24"), ip_interface("fd09::1/64"))
    config = Config(Interface(private_key=own, addresses=addresses), entries)
    async with AsyncExitStack() as stack:
        tunnel = Tunnel(config, listen_address=LOOPBACK, forwarding=forwarding)
        await stack.enter_async_context(tunnel)
        opened = []
        for number, key in keys.items():
            client = Tunnel(
                client_config(key, number, own, tunnel.listen_port),
                listen_address=LOOPBACK,
                timeouts=timeouts,
            )
            opened.append(await stack.enter_async_context(client))
        yield Gateway(tunnel, opened)


def served(
    handler: Callable[..., Any] = echo, host: str = HERE
) -> contextlib.AbstractAsyncContextManager[int]:
    """An ordinary server of this host; gives its port."""
    return serving(handler, host)


def unused_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((HERE, 0))
        port: int = probe.getsockname()[1]
        return port


class Answers(asyncio.DatagramProtocol):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.queue.put_nowait((data, addr))

    async def next(self) -> Any:
        async with asyncio.timeout(20):
            return await self.queue.get()


async def errors_heard(tunnel: Tunnel, wanted: int) -> None:
    """Return when the stack of a peer got so many ICMP errors."""
    async with asyncio.timeout(20):
        while heard(tunnel) < wanted:  # noqa: ASYNC110 (no event tells)
            await asyncio.sleep(0.002)


def heard(tunnel: Tunnel) -> int:
    stack = tunnel.stats().netstack
    return stack["icmp_errors"] + stack["icmp_errors_unmatched"]


class UdpEcho(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)


@pytest.mark.parametrize("host", [HERE, HERE6])
async def test_megabytes_go_both_ways_whole_and_each_end_is_passed_on(host: str) -> None:
    payload = os.urandom(3_000_000)
    async with gateway() as gate, served(host=host) as port:
        reader, writer = await gate.peers[0].open_connection(host, port)
        writer.write(payload)
        writer.write_eof()
        async with asyncio.timeout(60):
            assert await reader.read(-1) == payload
        writer.close()
        await gate.settle("connections", 0)
        assert gate["bytes_out"] == gate["bytes_in"] == len(payload)
        assert gate["connections_joined"] == 1
        assert gate["connections_broken"] == 0


async def test_a_refusal_is_one_and_the_gateway_itself_goes_on_to_listen() -> None:
    async with gateway() as gate:
        with pytest.raises(ConnectionRefusedError):
            await gate.peers[0].open_connection(HERE, unused_port())
        assert gate["connections_refused"] == 1
        async with await gate.tunnel.start_server(echo, port=7):
            reader, writer = await gate.peers[0].open_connection("10.9.0.1", 7)
            writer.write(b"inside")
            assert await reader.readexactly(6) == b"inside"
            writer.close()
        with pytest.raises(ConnectionRefusedError):
            await gate.peers[0].open_connection("10.9.0.1", 8)
        assert gate["connections_begun"] == 1


async def test_a_server_that_breaks_off_breaks_the_peers_connection() -> None:
    async def break_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()

    async with gateway() as gate, served(break_off) as port:
        reader, _ = await gate.peers[0].open_connection(HERE, port)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await gate.settle("connections", 0)


async def test_a_peer_that_breaks_off_breaks_the_servers_connection() -> None:
    broken: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def wait_for_it(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        except ConnectionResetError as error:
            broken.set_result(error)
        writer.close()

    async with gateway() as gate, served(wait_for_it) as port:
        _, writer = await gate.peers[0].open_connection(HERE, port)
        writer.transport.abort()
        async with asyncio.timeout(20):
            await broken
        await gate.settle("connections", 0)


async def test_closing_the_gateway_resets_what_it_carried_on_both_sides() -> None:
    ended: asyncio.Queue[object] = asyncio.Queue()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        ended.put_nowait(None)
        writer.close()

    async with gateway() as gate, served(hold) as port:
        reader, _ = await gate.peers[0].open_connection(HERE, port)
        await gate.tunnel.close()
        async with asyncio.timeout(20):
            await ended.get()
            with pytest.raises(ConnectionResetError):
                await reader.read()


async def test_a_removed_peer_loses_what_was_carried_for_it_and_no_other_does() -> None:
    ended: asyncio.Queue[object] = asyncio.Queue()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionResetError):
            writer.write(await reader.read(100))
            await reader.read()
        ended.put_nowait(None)
        writer.close()

    async with gateway(peers=2) as gate, served(hold) as port:
        _, first = await gate.peers[0].open_connection(HERE, port)
        reader, second = await gate.peers[1].open_connection(HERE, port)
        assert gate["connections"] == 2
        removed = next(peer for peer in gate.tunnel.stats().peers if "10.9.0.11/32" in peer.allowed_ips)
        await gate.tunnel.remove_peer(removed.public_key)
        async with asyncio.timeout(20):
            await ended.get()
        assert (gate["connections"], gate["cut"]) == (1, 1)
        second.write(b"still here")
        async with asyncio.timeout(20):
            assert await reader.readexactly(10) == b"still here"
        first.transport.abort()
        second.close()


async def test_a_server_that_reads_nothing_stops_the_peer_and_bounds_what_is_kept() -> None:
    held = asyncio.Event()

    async def read_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cast("asyncio.Transport", writer.transport).pause_reading()
        await held.wait()
        writer.transport.abort()

    async with gateway() as gate, served(read_nothing) as port:
        _, writer = await gate.peers[0].open_connection(HERE, port)
        with pytest.raises(TimeoutError):
            await write_until_stopped(writer)
        # The buffers of the host's two sockets hold some, the gateway next to nothing.
        assert gate["bytes_out"] < 64 << 20
        before = gate["bytes_out"]
        await asyncio.sleep(0.2)
        assert gate["bytes_out"] == before
        held.set()
        writer.transport.abort()


async def write_until_stopped(writer: asyncio.StreamWriter) -> None:
    """Raise ``TimeoutError`` when a megabyte waits for a second."""
    for _ in range(200):
        writer.write(bytes(1 << 20))
        async with asyncio.timeout(1):
            await writer.drain()


async def test_a_peer_that_reads_nothing_stops_the_server() -> None:
    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                writer.write(bytes(1 << 16))
                await writer.drain()

    async with gateway() as gate, served(pour) as port:
        protocol: asyncio.Protocol = asyncio.Protocol()
        transport, _ = await gate.peers[0].create_connection(lambda: protocol, HERE, port)
        transport.pause_reading()
        count, last = 0, -1
        while count != last:
            await asyncio.sleep(0.5)
            last, count = count, gate["bytes_in"]
        assert 0 < count < 16 << 20
        transport.abort()
        await gate.settle("connections", 0)


async def test_no_peer_takes_all_places() -> None:
    forwarding = Forwarding(host=True, connections=6, connections_per_peer=4)
    async with gateway(forwarding, peers=2, timeouts=Timeouts(connect=1.0)) as gate, served() as port:
        mine = [await gate.peers[0].open_connection(HERE, port) for _ in range(4)]
        with pytest.raises(TimeoutError):
            await gate.peers[0].open_connection(HERE, port)
        assert gate["connections_full_of_peer"] > 0
        others = [await gate.peers[1].open_connection(HERE, port) for _ in range(2)]
        with pytest.raises(TimeoutError):
            await gate.peers[1].open_connection(HERE, port)
        assert gate["connections_full"] > 0
        mine[0][1].close()
        await gate.settle("connections", 5)
        others.append(await gate.peers[1].open_connection(HERE, port))
        for _, writer in mine + others:
            writer.transport.abort()


@pytest.fixture
def few_files() -> Iterator[None]:
    """Let this process have few open files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("few_files")
async def test_where_few_files_may_be_open_one_peer_still_cannot_take_them_all() -> None:
    async with gateway(peers=2) as gate, served() as port:
        transport, _ = await gate.peers[0].create_datagram_endpoint(Answers)
        async with asyncio.timeout(20):
            while gate["flows_full_of_peer"] == 0:
                for at in range(1, 201):
                    transport.sendto(b"?", (HERE, at))
                await asyncio.sleep(0.01)
        # 512 files less 64 for other things, half of them for flows, of which one peer may have a quarter.
        assert gate["flows"] == 56
        _, writer = await gate.peers[1].open_connection(HERE, port)
        writer.transport.abort()
        transport.close()


async def test_datagrams_go_out_and_answers_come_from_whom_was_asked() -> None:
    loop = asyncio.get_running_loop()
    async with gateway() as gate:
        for host in (HERE, HERE6):
            server, _ = await loop.create_datagram_endpoint(UdpEcho, local_addr=(host, 0))
            port = server.get_extra_info("sockname")[1]
            transport, answers = await gate.peers[0].create_datagram_endpoint(Answers)
            for payload in (b"hello", os.urandom(1_300)):
                transport.sendto(payload, (host, port))
                assert await answers.next() == (payload, (host, port))
            transport.close()
            server.close()
        assert (gate["flows"], gate["datagrams_out"], gate["datagrams_in"]) == (2, 4, 4)


async def test_that_nobody_listens_for_datagrams_is_told() -> None:
    async with gateway() as gate:
        port = unused_port(socket.SOCK_DGRAM)
        transport, _ = await gate.peers[0].create_datagram_endpoint(Answers, remote_addr=(HERE, port))
        transport.sendto(b"anybody?")
        await gate.settle("errors_passed", 1)
        await errors_heard(gate.peers[0], 1)
        transport.close()


async def test_flows_end_when_idle() -> None:
    forwarding = Forwarding(host=True, unanswered_idle=0.3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((HERE, 0))
        async with gateway(forwarding) as gate:
            transport, _ = await gate.peers[0].create_datagram_endpoint(Answers)
            transport.sendto(b"anybody?", silent.getsockname())
            await gate.settle("flows_begun", 1)
            await gate.settle("flows_expired", 1)
            assert gate["flows"] == 0
            transport.close()


@pytest.mark.parametrize(
    "hidden", ["169.254.169.254", "100.100.100.200", "168.63.129.16", "fe80::1", "fd00:ec2::254"]
)
async def test_what_is_special_is_denied_though_everything_is_reached(hidden: str) -> None:
    async with gateway() as gate, served() as port, attempt(gate.peers[0], hidden, port):
        await errors_heard(gate.peers[0], 1)
        assert gate["connections_begun"] == 0
        assert gate["denied"] > 0


@asynccontextmanager
async def attempt(tunnel: Tunnel, host: str, port: int) -> AsyncIterator[None]:
    """Try to connect, which is to come to nothing."""
    task = asyncio.create_task(tunnel.open_connection(host, port))
    try:
        yield
    finally:
        assert not task.done()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_the_hosts_own_addresses_are_denied_until_they_are_named_or_the_switch_is_on() -> None:
    async with served(host="0.0.0.0") as port:
        async with gateway(Forwarding()) as gate, attempt(gate.peers[0], HERE, port):
            await errors_heard(gate.peers[0], 1)
            assert (gate["denied_own"] > 0, gate["connections_joined"]) == (True, 0)
        for forwarding in (BOTH, Forwarding(reach=(f"{HERE}/32",))):
            async with gateway(forwarding) as gate:
                _, writer = await gate.peers[0].open_connection(HERE, port)
                writer.close()


@pytest.mark.parametrize("host", [SILENT, UNREACHABLE, PROHIBITED])
async def test_who_cannot_be_reached_is_told_as_that(host: str) -> None:
    async with gateway(Forwarding(connect_timeout=0.3)) as gate, attempt(gate.peers[0], host, 80):
        await errors_heard(gate.peers[0], 1)
        assert gate["connections_unreachable"] > 0
        assert gate["connections"] == 0


@pytest.mark.parametrize("host", [HERE, HERE6])
async def test_a_ping_is_answered_by_whom_it_was_for(host: str) -> None:
    async with gateway(peers=2) as gate:
        async with asyncio.timeout(20):
            assert await gate.peers[0].ping(host) > 0
            assert await gate.peers[1].ping(host, payload=1_000) > 0
        assert (gate["flows"], gate["echo_replies_in"]) == (2, 2)


async def test_where_the_host_lets_nobody_ping_peers_learn_so() -> None:
    sysctl("net.ipv4.ping_group_range", "1 0")
    async with gateway() as gate:
        with pytest.raises(OSError, match="forbidden by a firewall"):
            await gate.peers[0].ping(HERE)
        assert gate["echo_not_permitted"] == 1
        assert gate["flows"] == 0


async def test_peers_reach_each_other_through_the_gateway_with_one_hop_less() -> None:
    async with gateway(peers=2) as gate, await gate.peers[1].start_server(echo, port=7):
        await gate.peers[1].wait_for_handshake()
        for host in ("10.9.0.12", "fd09::12"):
            reader, writer = await gate.peers[0].open_connection(host, 7)
            payload = os.urandom(300_000)
            writer.write(payload)
            writer.write_eof()
            async with asyncio.timeout(60):
                assert await reader.read(-1) == payload
            writer.close()
        assert await gate.peers[0].ping("10.9.0.12") > 0
        assert gate["between_peers"] > 400
        assert gate["connections_begun"] == 0


async def test_a_forked_child_holds_no_connection_open() -> None:
    ended: asyncio.Queue[BaseException | None] = asyncio.Queue()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
            ended.put_nowait(None)
        except ConnectionResetError as error:
            ended.put_nowait(error)
        writer.close()

    async with gateway() as gate, served(hold) as port:
        _, writer = await gate.peers[0].open_connection(HERE, port)
        await gate.settle("connections_joined", 1)
        with sleeping_child():
            writer.transport.abort()
            async with asyncio.timeout(20):
                assert isinstance(await ended.get(), ConnectionResetError)


@contextlib.contextmanager
def sleeping_child() -> Iterator[None]:
    """Fork; the child does nothing until the block ends."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    try:
        yield
    finally:
        os.close(write)
        os.waitpid(child, 0)
