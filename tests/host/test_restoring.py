"""A change that the kernel refuses on the way: what was done of it is taken back, or told."""

from __future__ import annotations

import errno
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tunnel.system.model import apply
from wirewright.host.device import NO_KEY, DeviceChange, DeviceState, PeerChange, PeerState, SocketAddress
from wirewright.host.kernel import engine as engine_module
from wirewright.host.kernel.engine import KernelEngine
from wirewright.host.kernel.restoring import back
from wirewright.keys import PresharedKey, PublicKey, SecretKey

SECRETS = [SecretKey.generate() for _ in range(2)]
KEYS = [PublicKey.from_hex(f"{number:064x}") for number in range(1, 5)]
PRESHARED = [PresharedKey.generate() for _ in range(2)]
NETWORKS = [ip_network(f"10.{number}.0.0/16") for number in range(5)]
ADDRESSES = [SocketAddress(ip_address("192.0.2.1"), port) for port in (1, 2)]

networks = st.lists(st.sampled_from(NETWORKS), max_size=4, unique=True).map(tuple)


@st.composite
def states(draw: st.DrawFn) -> DeviceState:
    owner = {network: draw(st.sampled_from(KEYS)) for network in NETWORKS}
    peers = tuple(
        PeerState(
            key,
            preshared_key=draw(st.none() | st.sampled_from(PRESHARED)),
            # One without an endpoint cannot be made so again.
            endpoint=draw(st.sampled_from(ADDRESSES)),
            persistent_keepalive=draw(st.sampled_from([0, 25])),
            allowed_ips=tuple(network for network in NETWORKS if owner[network] == key),
        )
        for key in draw(st.lists(st.sampled_from(KEYS), unique=True))
    )
    secret = draw(st.none() | st.sampled_from(SECRETS))
    return DeviceState("wg0", secret, draw(st.sampled_from([0, 1])), draw(st.sampled_from([0, 1])), peers)


changes = st.builds(
    DeviceChange,
    private_key=st.sampled_from([None, NO_KEY, *SECRETS]),
    listen_port=st.sampled_from([None, 0, 1]),
    fwmark=st.sampled_from([None, 0, 1]),
    replace_peers=st.booleans(),
    peers=st.lists(
        st.builds(
            PeerChange,
            st.sampled_from(KEYS),
            remove=st.booleans(),
            update_only=st.booleans(),
            preshared_key=st.sampled_from([None, NO_KEY, *PRESHARED]),
            endpoint=st.sampled_from([None, *ADDRESSES]),
            persistent_keepalive=st.sampled_from([None, 0, 25]),
            replace_allowed_ips=st.booleans(),
            allowed_ips=networks,
            removed_allowed_ips=networks,
        ),
        max_size=4,
    ).map(tuple),
)


def sorted_state(state: DeviceState) -> DeviceState:
    """Leave the order of peers and networks aside."""
    peers = (replace(peer, allowed_ips=tuple(sorted(peer.allowed_ips))) for peer in state.peers)
    return replace(state, peers=tuple(sorted(peers, key=lambda peer: str(peer.public_key))))


class Kernel:
    """Does a change up to a peer, and refuses that once."""

    def __init__(self, state: DeviceState, done: int, *, again: bool = False) -> None:
        self.state, self.done, self.again = state, done, again

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get(self, _: str) -> DeviceState:
        return self.state

    def set(self, _: str, change: DeviceChange) -> None:
        done, self.done = self.done, 0 if self.again else len(KEYS) * 2
        self.state = apply(self.state, replace(change, peers=change.peers[:done]))
        if done < len(change.peers) or self.again:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")


@given(states(), changes, st.integers(0, 4))
def test_whatever_was_done_of_any_change_is_taken_back(
    before: DeviceState, change: DeviceChange, done: int
) -> None:
    now = apply(before, replace(change, peers=change.peers[:done]))
    assert sorted_state(apply(now, back(change, before, now))) == sorted_state(before)


def test_what_others_changed_meanwhile_stays() -> None:
    before = DeviceState("wg0", SECRETS[0], 1, 1, (PeerState(KEYS[0], endpoint=ADDRESSES[0]),))
    roamed = replace(before.peers[0], endpoint=ADDRESSES[1], received=7)
    now = replace(before, listen_port=2, peers=(roamed, PeerState(KEYS[1]), PeerState(KEYS[2])))
    change = DeviceChange(fwmark=1, peers=(PeerChange(KEYS[0]), PeerChange(KEYS[2])))
    assert back(change, before, now) == DeviceChange(peers=(PeerChange(KEYS[2], remove=True),))


CHANGE = DeviceChange(
    SECRETS[1],
    peers=(
        PeerChange(KEYS[0], persistent_keepalive=25, removed_allowed_ips=(NETWORKS[0],)),
        PeerChange(KEYS[1], allowed_ips=(NETWORKS[1],)),
        PeerChange(KEYS[2]),
    ),
)
BEFORE = DeviceState("wg0", SECRETS[0], peers=(PeerState(KEYS[0], allowed_ips=tuple(NETWORKS)),))


@pytest.mark.parametrize("change", [CHANGE, replace(CHANGE, peers=CHANGE.peers[1:])])
@pytest.mark.parametrize("done", [0, 1])
def test_an_interface_is_as_it_was_after_a_refusal(
    change: DeviceChange, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(BEFORE, done)
    monkeypatch.setattr(engine_module, "WireGuardFamily", lambda: kernel)
    with pytest.raises(OSError, match=r"\[Errno 12\] Cannot allocate memory$"):
        KernelEngine().set("wg0", change)
    assert sorted_state(kernel.state) == BEFORE


def test_what_cannot_be_taken_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(BEFORE, 1, again=True)
    monkeypatch.setattr(engine_module, "WireGuardFamily", lambda: kernel)
    with pytest.raises(OSError, match="done in part, which could not be taken back: Cannot allocate") as told:
        KernelEngine().set("wg0", CHANGE)
    assert (told.value.errno, told.value.filename) == (errno.ENOMEM, "wg0")
