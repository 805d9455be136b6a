"""Peers live: added, changed, removed, waited for, counted."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_network
from typing import Any

import pytest

from tests.tunnel.pairs import CLIENT_V4, QUICK, SERVER_V4, Ends, Pair, fake, joined
from wirewright.config import Config
from wirewright.keys import PresharedKey, SecretKey
from wirewright.tunnel import Timeouts, Tunnel
from wirewright.tunnel.arguments import parse_endpoint, parse_networks
from wirewright.tunnel.errors import (
    EndpointError,
    HandshakeTimeoutError,
    NoEndpointError,
    NoRouteError,
    TunnelError,
)

pytestmark = pytest.mark.anyio


async def test_a_peer_added_live_is_reached(core: str) -> None:
    ends = Ends()
    async with (
        Tunnel(ends.server_config(), listen_address="127.0.0.1") as server,
        Tunnel(
            Config(ends.client_config(None).interface), listen_address="127.0.0.1", timeouts=QUICK
        ) as client,
    ):
        with pytest.raises(NoRouteError):
            await client.ping(SERVER_V4)
        key = ends.server_key.public_key
        psk = PresharedKey.generate()
        await server.update_peer(ends.client_key.public_key, preshared_key=psk)
        await client.add_peer(
            key,
            endpoint=f"127.0.0.1:{server.listen_port}",
            allowed_ips=["10.9.0.2", ip_network("fd09::/64")],
            preshared_key=psk,
        )
        await client.wait_for_handshake(timeout=10)
        assert await client.ping(SERVER_V4, timeout=5) > 0
        with pytest.raises(ValueError, match="in this tunnel already"):
            await client.add_peer(key)


async def test_a_removed_peer_is_not_reached(pair: Pair) -> None:
    await pair.client.ping(SERVER_V4)
    assert await pair.client.remove_peer(pair.server_peer)
    assert not await pair.client.remove_peer(pair.server_peer)
    with pytest.raises(NoRouteError):
        await pair.client.ping(SERVER_V4)
    assert pair.client.stats().peers == ()


async def test_removing_a_peer_ends_the_waiting_for_it(core: str) -> None:
    ends = Ends()
    async with Tunnel(ends.client_config("127.0.0.1", 9), listen_address="127.0.0.1") as tunnel:
        waiting = asyncio.ensure_future(tunnel.wait_for_handshake())
        await asyncio.sleep(0)
        await tunnel.remove_peer(ends.server_key.public_key)
        with pytest.raises(TunnelError, match="was removed"):
            await waiting


async def test_allowed_ips_given_replace_those_before(pair: Pair) -> None:
    await pair.client.update_peer(pair.server_peer, allowed_ips=["192.0.2.0/24"])
    with pytest.raises(NoRouteError):
        await pair.client.ping(SERVER_V4)
    assert pair.client.stats().peers[0].allowed_ips == ("192.0.2.0/24",)
    await pair.client.update_peer(pair.server_peer, allowed_ips=["10.9.0.0/24"])
    await pair.client.ping(SERVER_V4)


async def test_a_change_leaves_the_rest_as_it_was(pair: Pair) -> None:
    await pair.client.update_peer(pair.server_peer, persistent_keepalive=25)
    (peer,) = pair.client.stats().peers
    assert peer.persistent_keepalive == 25
    assert set(peer.allowed_ips) == {"10.9.0.0/24", "fd09::/64"}
    assert peer.endpoint == ("127.0.0.1", pair.server.listen_port)
    await pair.client.ping(SERVER_V4)


async def test_a_peer_that_moved_is_found_at_its_new_endpoint(core: str) -> None:
    async with joined(QUICK) as pair:
        port = pair.server.listen_port
        await pair.client.update_peer(pair.server_peer, endpoint=("127.0.0.1", 9))
        with pytest.raises(HandshakeTimeoutError, match=r"127\.0\.0\.1:9 within"):
            await pair.client.ping(SERVER_V4)
        await pair.client.update_peer(pair.server_peer, endpoint=f"127.0.0.1:{port}")
        # Wirewright's core asks again at once when the endpoint changes.
        await pair.client.wait_for_handshake(timeout=10)
        await pair.client.ping(SERVER_V4, timeout=5)


async def test_of_several_who_add_a_peer_at_the_same_time_one_does(pair: Pair) -> None:
    stranger = SecretKey.generate().public_key
    networks = ["192.0.2.0/25", "192.0.2.128/25", "198.51.100.0/24"]
    adding = [
        pair.client.add_peer(stranger, endpoint="localhost:9", allowed_ips=[network]) for network in networks
    ]
    outcomes = await asyncio.gather(*adding, return_exceptions=True)
    (added,) = [number for number, outcome in enumerate(outcomes) if outcome is None]
    assert sum(isinstance(outcome, ValueError) for outcome in outcomes) == 2
    routes = {stats.public_key: stats.allowed_ips for stats in pair.client.stats().peers}
    assert routes[stranger] == (networks[added],)


async def test_a_misspelt_setting_is_refused_and_nothing_is_changed(pair: Pair) -> None:
    stranger = SecretKey.generate().public_key
    misspelt: dict[str, Any] = {"allowed_ip": ["192.0.2.0/24"]}
    for attempt in (
        pair.client.add_peer(stranger, **misspelt),
        pair.client.update_peer(pair.server_peer, **misspelt),
    ):
        with pytest.raises(TypeError, match=r"no setting 'allowed_ip': there are .*allowed_ips"):
            await attempt
    assert [peer.public_key for peer in pair.client.stats().peers] == [pair.server_peer]


async def test_an_endpoint_cannot_be_taken_away(pair: Pair) -> None:
    with pytest.raises(ValueError, match="not taken away"):
        await pair.client.update_peer(pair.server_peer, endpoint=None)
    await pair.client.ping(SERVER_V4)


async def test_an_unknown_peer_cannot_be_changed_or_waited_for(pair: Pair) -> None:
    stranger = SecretKey.generate().public_key
    with pytest.raises(KeyError, match="add_peer"):
        await pair.client.update_peer(stranger, persistent_keepalive=1)
    with pytest.raises(KeyError, match="not in this tunnel"):
        await pair.client.wait_for_handshake(stranger)


async def test_a_network_claimed_by_another_peer_moves_to_it(pair: Pair) -> None:
    other = SecretKey.generate().public_key
    await pair.client.add_peer(other, allowed_ips=["10.9.0.0/24"], endpoint=("127.0.0.1", 9))
    assert pair.client._context is not None
    peer = pair.client._context.peers.get(other)
    routes = {stats.public_key: stats.allowed_ips for stats in pair.client.stats().peers}
    assert routes == {other: ("10.9.0.0/24",), pair.server_peer: ("fd09::/64",)}
    assert pair.client._context.peers.owner(parse_networks(["10.9.0.2"])[0].network_address, "") is peer


async def test_one_peer_is_asked_about_without_counting_all(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, fake_core: None
) -> None:
    def stats() -> None:
        raise AssertionError("the stats of every peer, for one")

    monkeypatch.setattr(fake(pair.server), "stats", stats)
    with pytest.raises(NoEndpointError):
        await pair.server.ping(CLIENT_V4)


async def test_a_scope_means_nothing_inside_a_tunnel(pair: Pair) -> None:
    with pytest.raises(NoRouteError, match="fe80::1%lo"):
        await pair.client.ping("fe80::1%lo")


async def test_waiting_for_a_handshake_brings_it_about(pair: Pair) -> None:
    await pair.client.wait_for_handshake()
    await pair.client.wait_for_handshake(pair.server_peer)
    assert pair.client.stats().peers[0].last_handshake is not None


async def test_the_other_end_may_wait_to_be_called(pair: Pair) -> None:
    waiting = asyncio.ensure_future(pair.server.wait_for_handshake(pair.ends.client_key.public_key))
    await pair.client.ping(SERVER_V4)
    await waiting
    await pair.server.ping(CLIENT_V4)


async def test_which_peer_to_wait_for_must_be_clear(pair: Pair) -> None:
    await pair.client.add_peer(SecretKey.generate().public_key)
    with pytest.raises(ValueError, match="has 2 peers"):
        await pair.client.wait_for_handshake()


async def test_a_session_that_ended_must_be_made_again(core: str, fake_core: None) -> None:
    async with joined(QUICK) as pair:
        await pair.client.ping(SERVER_V4)
        # As when the machine slept: the loop's clock did not go on, the core's did.
        fake(pair.client).end_session(pair.server_peer)
        fake(pair.client).peers[pair.server_peer].endpoint = ("127.0.0.1", 9)
        with pytest.raises(HandshakeTimeoutError):
            await pair.client.ping(SERVER_V4)
        with pytest.raises(HandshakeTimeoutError):
            await pair.client.wait_for_handshake()


async def test_stats_are_typed(pair: Pair) -> None:
    await pair.client.ping(SERVER_V4)
    stats = pair.client.stats()
    (peer,) = stats.peers
    assert peer.public_key == pair.server_peer
    assert peer.endpoint == ("127.0.0.1", pair.server.listen_port)
    assert isinstance(peer.last_handshake, float)
    assert isinstance(peer.rx_bytes, int)
    assert isinstance(peer.tx_bytes, int)
    assert all(isinstance(count, int) for count in stats.counters.values())
    assert stats.netstack["connections"] == 0


async def test_a_name_is_looked_up_again_when_the_core_gave_up(
    core: str, fake_core: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = ["127.0.0.9"]

    async def lookup(loop: object, host: str, family: socket.AddressFamily) -> list[str]:
        assert host == "vpn.example"
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "gone")
        return [answers.pop(0)]

    monkeypatch.setattr("wirewright.tunnel.endpoints.system_lookup", lookup)
    ends = Ends()
    config = ends.client_config("vpn.example", 51820)
    async with Tunnel(config, listen_address="127.0.0.1", timeouts=Timeouts(endpoint=0.1)) as tunnel:
        key = ends.server_key.public_key
        assert tunnel.stats().peers[0].endpoint == ("127.0.0.9", 51820)
        answers.append("127.0.0.10")
        for endpoint in (("127.0.0.10", 51820), ("127.0.0.10", 51820)):
            waiting = asyncio.ensure_future(tunnel.wait_for_handshake())
            await asyncio.sleep(0)
            fake(tunnel).give_up(key)
            with pytest.raises(HandshakeTimeoutError, match=r"at vpn\.example:51820"):
                await waiting
            for _ in range(5):
                await asyncio.sleep(0)
            assert tunnel.stats().peers[0].endpoint == endpoint
        assert answers == []


async def test_an_endpoint_that_does_not_resolve_leaves_the_peer_out(pair: Pair) -> None:
    key = SecretKey.generate().public_key
    with pytest.raises(EndpointError):
        await pair.client.add_peer(key, endpoint="no-such-host.invalid:1")
    assert len(pair.client.stats().peers) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_endpoints_and_networks_are_read_as_they_are_written() -> None:
    assert parse_endpoint("vpn.example:51820") == ("vpn.example", 51820)
    assert parse_endpoint("[fd00::1]:51820") == ("fd00::1", 51820)
    assert parse_endpoint(("host", 1)) == ("host", 1)
    assert parse_endpoint(None) is None
    wrong: Any
    for wrong in (
        *("host", "host:", ":1", "host:0", "host:65536", "host:x", "host:²"),
        *(("host", 0), ("host", 65536), ("host", -1), ("", 1)),
    ):
        with pytest.raises(ValueError, match="host:port"):
            parse_endpoint(wrong)
    for wrong in (5, ("host",), ("host", "1"), (b"host", 1)):
        with pytest.raises(TypeError, match="neither 'host:port' nor a pair"):
            parse_endpoint(wrong)
    assert parse_networks(["10.0.0.1/8"]) == (ip_network("10.0.0.0/8"),)
    with pytest.raises(TypeError, match="sequence"):
        parse_networks("10.0.0.0/8")
