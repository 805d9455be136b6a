"""The server inside a rootless tunnel, asked by another: link-local addresses, fixed ports, many clients."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_interface, ip_network
from typing import TYPE_CHECKING

import pytest

from wirewright.config import Config, Endpoint, Interface, Peer
from wirewright.dynamic import (
    FileLeaseStore,
    LeaseServer,
    LeaseService,
    Settings,
    Terms,
    TunnelPeers,
    link_local,
)
from wirewright.dynamic.clocks import SystemClock
from wirewright.dynamic.identity import PORT
from wirewright.keys import SecretKey
from wirewright.tunnel import Tunnel
from wirewright.tunnel.errors import AddressError

from .peer import client as other
from .peer import lines as other_lines
from .worlds import networks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

SERVER = "fe80::"


@dataclass
class Hub:
    """A tunnel with a server in it, and the configuration of its clients."""

    folder: Path
    clients: int = 2
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        self.key = SecretKey.generate()
        self.keys = [SecretKey.generate() for _ in range(self.clients)]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Tunnel]:
        peers = tuple(
            Peer(key.public_key, allowed_ips=(ip_network(link_local(key.public_key)),)) for key in self.keys
        )
        addresses = tuple(map(ip_interface, ("fe80::/64", "10.7.0.1/24", "fd07::1/64")))
        async with Tunnel(
            Config(Interface(self.key, addresses=addresses), peers), listen_address="127.0.0.1"
        ) as tunnel:
            yield tunnel

    @asynccontextmanager
    async def serve(self, tunnel: Tunnel) -> AsyncIterator[LeaseServer]:
        peers = TunnelPeers(tunnel, networks("10.7.0.0/24", "fd07::/120"))
        async with FileLeaseStore(self.folder / "leases") as store:
            service = LeaseService(peers, store, SystemClock(), self.settings)
            async with LeaseServer.in_tunnel(service, tunnel) as server:
                yield server

    @asynccontextmanager
    async def client(self, hub: Tunnel, number: int) -> AsyncIterator[Tunnel]:
        key = self.keys[number]
        server = Peer(
            self.key.public_key,
            allowed_ips=(ip_network("fe80::/128"), ip_network("10.7.0.0/24")),
            endpoint=Endpoint("127.0.0.1", hub.listen_port),
        )
        address = ip_interface(f"{link_local(key.public_key)}/128")
        async with Tunnel(
            Config(Interface(key, addresses=(address,)), (server,)), listen_address="127.0.0.1"
        ) as tunnel:
            yield tunnel

    def allowed(self, tunnel: Tunnel, number: int) -> set[str]:
        key = self.keys[number].public_key
        [peer] = [each for each in tunnel.stats().peers if each.public_key == key]
        return set(peer.allowed_ips) - {f"{link_local(key)}/128"}


async def read(reader: asyncio.StreamReader) -> other_lines.Pairs:
    text = await reader.readuntil(b"\n\n")
    pairs = []
    for line in text.decode().splitlines()[:-1]:
        key, _, value = line.partition("=")
        pairs.append((key, value))
    return pairs


async def ask(tunnel: Tunnel, *requests: other_lines.Pairs, port: int = PORT) -> list[other_lines.Pairs]:
    reader, writer = await tunnel.open_connection(SERVER, PORT, local_port=port)
    answers = []
    for request in requests:
        writer.write(other_lines.text(request))
        answers.append(await read(reader))
    writer.close()
    return answers


async def test_a_client_has_a_lease_in_either_dialect(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    async with hub.open() as a, hub.serve(a), hub.client(a, 0) as b:
        first, second = await ask(b, other.document(), other.program("0.0.0.0/32"))
        document, program = other.judge_document(first), other.judge_program(second)
        assert document.ipv4 is not None
        assert document.ipv6 is not None
        assert program.ipv4 not in {None, document.ipv4}
        assert hub.allowed(a, 0) == {program.ipv4}


async def test_one_connection_after_the_other_needs_no_waiting(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    async with hub.open() as a, hub.serve(a), hub.client(a, 0) as b:
        for _ in range(10):
            # Not at once: the server's reset is on its way. But a connection that waits in TIME_WAIT holds
            # it for 60 s.
            async with asyncio.timeout(20):
                while True:
                    try:
                        [answer] = await ask(b, other.document())
                        break
                    except AddressError:
                        await asyncio.sleep(0.01)
            assert other.judge_document(answer).errno == 0


async def test_a_restart_of_the_server_restores_the_leases(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    async with hub.open() as a:
        async with hub.serve(a), hub.client(a, 0) as b:
            [answer] = await ask(b, other.document())
        held = other.judge_document(answer)
        await a.update_peer(hub.keys[0].public_key, allowed_ips=[f"{link_local(hub.keys[0].public_key)}/128"])
        async with hub.serve(a):
            assert hub.allowed(a, 0) == {held.ipv4, held.ipv6}


async def test_a_lease_ends_by_the_server_s_own_clock(tmp_path: Path) -> None:
    hub = Hub(tmp_path, settings=Settings(Terms(lease_time=2)))
    async with hub.open() as a, hub.serve(a) as server, hub.client(a, 0) as b:
        await ask(b, other.document())
        async with asyncio.timeout(30):
            while server.counters["expired"] < 1:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)
        assert hub.allowed(a, 0) == set()


async def test_strangers_and_those_from_other_ports_are_counted_and_not_heard(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    async with hub.open() as a, hub.serve(a) as server, hub.client(a, 0) as b:
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await ask(b, other.document(), port=0)
        assert server.counters["refused_port"] == 1
        key = hub.keys[0].public_key
        # Its packets come from an address that the server takes for nobody's.
        await a.update_peer(key, allowed_ips=["fe80::/64"])
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await ask(b, other.document())
        assert server.counters["refused_unknown"] == 1


async def test_what_is_no_request_is_answered_and_the_connection_ends(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    async with hub.open() as a, hub.serve(a) as server, hub.client(a, 0) as b:
        reader, writer = await b.open_connection(SERVER, PORT, local_port=PORT)
        writer.write(b"request_ip=1\n\nrequest_ip=1\nipv4=nonsense\n\n")
        assert other.judge_document(await read(reader)).errno == 0
        wrong = other.judge_document(await read(reader))
        assert (wrong.errno, wrong.errmsg) == (1, "ipv4: not an IP address")
        assert await reader.read() == b""
        writer.close()
        assert server.counters["malformed"] == 1


async def test_no_more_than_sixteen_are_served_at_once(tmp_path: Path) -> None:
    hub = Hub(tmp_path, clients=17)
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(hub.open())
        server = await stack.enter_async_context(hub.serve(a))
        clients = [await stack.enter_async_context(hub.client(a, number)) for number in range(17)]
        silent = [await each.open_connection(SERVER, PORT, local_port=PORT) for each in clients[:16]]
        async with asyncio.timeout(30):
            while server.counters["connections"] < 16:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await ask(clients[16], other.document())
        assert server.counters["refused_full"] == 1
        # Those that have a place are served, and a place that is free is given.
        reader, writer = silent[0]
        writer.write(other_lines.text(other.document()))
        assert other.judge_document(await read(reader)).errno == 0
        writer.close()
        async with asyncio.timeout(30):
            while True:
                try:
                    [answer] = await ask(clients[16], other.document())
                    break
                except (ConnectionError, asyncio.IncompleteReadError):
                    await asyncio.sleep(0.01)
        assert other.judge_document(answer).errno == 0
        for _, other_writer in silent:
            other_writer.transport.abort()


async def test_whoever_stalls_is_put_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wirewright.dynamic.conversation.PATIENCE", 0.2)
    hub = Hub(tmp_path)
    async with hub.open() as a, hub.serve(a) as server, hub.client(a, 0) as b:
        reader, writer = await b.open_connection(SERVER, PORT, local_port=PORT)
        writer.write(b"request_ip=1\n")
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(30):
                await reader.read()
        assert server.counters["timed_out"] == 1
        writer.close()
