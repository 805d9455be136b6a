"""What `setconf`, `addconf` and `syncconf` tell an interface, for any state and any configuration."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tunnel.system.model import apply
from wirewright.config import Config, Endpoint, Interface, Peer
from wirewright.host.device import NO_KEY, DeviceChange, DeviceState, PeerChange, PeerState, SocketAddress
from wirewright.keys import PresharedKey, PublicKey, SecretKey
from wirewright.tunnel.system.changes import addition, difference, says_nothing, whole

SECRETS = [SecretKey.generate() for _ in range(3)]
KEYS = [SecretKey.generate().public_key for _ in range(4)] + [SECRETS[0].public_key]
PRESHARED = [PresharedKey.generate() for _ in range(2)]
NETWORKS = [ip_network(f"10.{number}.0.0/16") for number in range(4)] + [
    ip_network("fd00::/64"),
    ip_network("::/0"),
]
ADDRESSES = {
    Endpoint("a.example", 1): SocketAddress(ip_address("192.0.2.1"), 1),
    Endpoint("b.example", 2): SocketAddress(ip_address("fd00::2"), 2),
}

networks = st.lists(st.sampled_from(NETWORKS), max_size=4, unique=True).map(tuple)
preshared = st.none() | st.sampled_from(PRESHARED)


@st.composite
def states(draw: st.DrawFn) -> DeviceState:
    owner = {network: draw(st.sampled_from(KEYS)) for network in NETWORKS}
    keys = draw(st.lists(st.sampled_from(KEYS), unique=True))
    peers = tuple(
        PeerState(
            key,
            preshared_key=draw(preshared),
            endpoint=draw(st.none() | st.sampled_from(list(ADDRESSES.values()))),
            persistent_keepalive=draw(st.sampled_from([0, 25])),
            latest_handshake=draw(st.integers(0, 2**62)),
            allowed_ips=tuple(network for network in NETWORKS if owner[network] == key),
        )
        for key in keys
    )
    return DeviceState(
        "wg0",
        private_key=draw(st.none() | st.sampled_from(SECRETS)),
        listen_port=draw(st.sampled_from([0, 1, 51820])),
        fwmark=draw(st.sampled_from([0, 51820])),
        peers=peers,
    )


@st.composite
def configs(draw: st.DrawFn) -> Config:
    peer = st.builds(
        Peer,
        st.sampled_from(KEYS),
        preshared_key=preshared,
        allowed_ips=networks,
        endpoint=st.none() | st.sampled_from(list(ADDRESSES)),
        persistent_keepalive=st.sampled_from([None, 0, 25]),
    )
    interface = Interface(
        private_key=draw(st.none() | st.sampled_from(SECRETS)),
        listen_port=draw(st.sampled_from([None, 0, 51820])),
        fwmark=draw(st.sampled_from([None, 0, 7])),
    )
    return Config(interface, tuple(draw(st.lists(peer, max_size=5))))


def wanted(state: DeviceState, config: Config) -> DeviceState:
    """What `syncconf` promises."""
    have = {peer.public_key: peer for peer in state.peers}
    peers = []
    for peer in config.effective_peers():
        before = have.get(peer.public_key, PeerState(peer.public_key))
        peers.append(
            replace(
                before,
                preshared_key=peer.preshared_key,
                endpoint=ADDRESSES[peer.endpoint] if peer.endpoint else before.endpoint,
                persistent_keepalive=peer.persistent_keepalive or 0,
                allowed_ips=peer.allowed_ips,
            )
        )
    interface = config.interface
    return replace(
        state,
        private_key=interface.private_key,
        listen_port=interface.listen_port or state.listen_port,
        fwmark=state.fwmark if interface.fwmark is None else interface.fwmark,
        peers=tuple(peers),
    )


def comparable(state: DeviceState) -> tuple[object, dict[PublicKey, PeerState], dict[PublicKey, object]]:
    """Without the order of peers, and of their networks."""
    peers = {peer.public_key: replace(peer, allowed_ips=()) for peer in state.peers}
    return replace(state, peers=()), peers, {peer.public_key: {*peer.allowed_ips} for peer in state.peers}


@given(states(), configs())
def test_the_difference_makes_the_state_what_is_wanted(state: DeviceState, config: Config) -> None:
    after = apply(state, difference(state, config, ADDRESSES))
    assert comparable(after) == comparable(wanted(state, config))


@given(states(), configs())
def test_what_is_as_wanted_is_not_touched(state: DeviceState, config: Config) -> None:
    change = difference(state, config, ADDRESSES)
    have = {peer.public_key: peer for peer in state.peers}
    assert not change.replace_peers
    assert change.private_key is None or change.private_key != (state.private_key or NO_KEY)
    assert change.listen_port is None or change.listen_port != state.listen_port
    assert change.fwmark is None or change.fwmark != state.fwmark
    for peer in change.peers:
        assert not peer.replace_allowed_ips
        if (before := have.get(peer.public_key)) is None or peer.remove:
            continue
        assert peer != PeerChange(peer.public_key)
        assert peer.preshared_key is None or peer.preshared_key != (before.preshared_key or NO_KEY)
        assert peer.endpoint is None or peer.endpoint != before.endpoint
        assert peer.persistent_keepalive is None or peer.persistent_keepalive != before.persistent_keepalive
        assert not set(peer.allowed_ips) & set(before.allowed_ips)
        assert set(peer.removed_allowed_ips) <= set(before.allowed_ips)


@given(states(), configs())
def test_a_second_difference_says_nothing(state: DeviceState, config: Config) -> None:
    after = apply(state, difference(state, config, ADDRESSES))
    assert says_nothing(difference(after, config, ADDRESSES))


@given(states(), configs())
def test_setconf_makes_any_state_the_same(state: DeviceState, config: Config) -> None:
    change = whole(config, ADDRESSES)
    after, fresh = apply(state, change), apply(DeviceState("wg0"), change)
    assert after == fresh
    assert (after.listen_port, after.fwmark) == (
        config.interface.listen_port or 0,
        config.interface.fwmark or 0,
    )
    assert {peer.public_key for peer in after.peers} == {p.public_key for p in config.effective_peers()}


@given(states(), configs())
def test_addconf_takes_no_peer_away(state: DeviceState, config: Config) -> None:
    after = apply(state, addition(config, ADDRESSES))
    keys = {peer.public_key for peer in after.peers}
    assert keys == {p.public_key for p in state.peers} | {p.public_key for p in config.effective_peers()}
    if config.interface.private_key is None:
        assert after.private_key == state.private_key


@pytest.mark.parametrize(
    "change",
    [
        DeviceChange(private_key=NO_KEY),
        DeviceChange(listen_port=0),
        DeviceChange(fwmark=0),
        DeviceChange(replace_peers=True),
        DeviceChange(peers=(PeerChange(KEYS[0]),)),
    ],
)
def test_a_change_with_anything_in_it_says_something(change: DeviceChange) -> None:
    assert not says_nothing(change)
    assert says_nothing(DeviceChange())
