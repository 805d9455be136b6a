"""Allowed IPs that are taken away singly, by kernels that can, cannot, and do not notice."""

from __future__ import annotations

import errno
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest

from wirewright.host.device import DeviceChange, DeviceState, PeerChange, PeerState
from wirewright.host.kernel import engine as engine_module
from wirewright.host.kernel.engine import KernelEngine
from wirewright.keys import PublicKey

if TYPE_CHECKING:
    from wirewright.config.values import IPNetwork

A, B, C, D = (ip_network(f"10.0.{number}.0/24") for number in range(4))
ONE, TWO, THREE = (PublicKey.from_hex(f"{number:064x}") for number in (1, 2, 3))


class FakeFamily:
    """A kernel with a table of allowed IPs, and one of three opinions of the flag that removes one."""

    def __init__(self, opinion: str, table: dict[PublicKey, list[IPNetwork]]) -> None:
        self.opinion = opinion
        self.table = {key: list(networks) for key, networks in table.items()}
        self.calls: list[str] = []

    def __enter__(self) -> FakeFamily:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get(self, name: str) -> DeviceState:
        self.calls.append("get")
        peers = (PeerState(key, allowed_ips=tuple(networks)) for key, networks in self.table.items())
        return DeviceState(name, peers=tuple(peers))

    def set(self, _: str, change: DeviceChange) -> None:
        self.calls.append("set")
        if change.replace_peers:
            self.table.clear()
        for peer in change.peers:
            self._set_peer(peer)

    def _set_peer(self, peer: PeerChange) -> None:
        if peer.remove:
            self.table.pop(peer.public_key, None)
            return
        if peer.update_only and peer.public_key not in self.table:
            return
        own = self.table.setdefault(peer.public_key, [])
        if peer.replace_allowed_ips:
            own.clear()
        for network in peer.allowed_ips:
            self._insert(own, network)
        for network in peer.removed_allowed_ips:
            if self.opinion == "refuses":
                raise OSError(errno.EINVAL, "Invalid argument")
            if self.opinion == "passes over":
                self._insert(own, network)
            elif network in own:
                own.remove(network)

    def _insert(self, own: list[IPNetwork], network: IPNetwork) -> None:
        for networks in self.table.values():
            if network in networks:
                networks.remove(network)
        own.append(network)


CHANGES: list[tuple[DeviceChange, dict[PublicKey, list[IPNetwork]]]] = [
    (DeviceChange(peers=(PeerChange(ONE, removed_allowed_ips=(A,)),)), {ONE: [B], TWO: [C]}),
    # What is another's stays there.
    (DeviceChange(peers=(PeerChange(ONE, removed_allowed_ips=(A, C, D)),)), {ONE: [B], TWO: [C]}),
    (DeviceChange(peers=(PeerChange(THREE, removed_allowed_ips=(A,)),)), {ONE: [A, B], TWO: [C], THREE: []}),
    (
        DeviceChange(peers=(PeerChange(THREE, update_only=True, removed_allowed_ips=(A,)),)),
        {ONE: [A, B], TWO: [C]},
    ),
    # It counts what was said before: what moved is no longer its own, or now is.
    (
        DeviceChange(peers=(PeerChange(TWO, allowed_ips=(A,)), PeerChange(ONE, removed_allowed_ips=(A,)))),
        {ONE: [B], TWO: [C, A]},
    ),
    (
        DeviceChange(peers=(PeerChange(ONE, allowed_ips=(C, D), removed_allowed_ips=(C, A)),)),
        {ONE: [B, D], TWO: []},
    ),
    (
        DeviceChange(peers=(PeerChange(ONE, removed_allowed_ips=(A,)), PeerChange(ONE, allowed_ips=(A,)))),
        {ONE: [B, A], TWO: [C]},
    ),
    (
        DeviceChange(
            peers=(PeerChange(ONE, replace_allowed_ips=True, allowed_ips=(D,), removed_allowed_ips=(A,)),)
        ),
        {ONE: [D], TWO: [C]},
    ),
    (
        DeviceChange(replace_peers=True, peers=(PeerChange(TWO, removed_allowed_ips=(C,)),)),
        {TWO: []},
    ),
    (
        DeviceChange(peers=(PeerChange(ONE, remove=True, removed_allowed_ips=(A,)),)),
        {TWO: [C]},
    ),
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
@pytest.mark.parametrize("opinion", ["removes", "refuses", "passes over"])
def test_the_outcome_is_the_same_whatever_the_kernel_thinks_of_the_flag(
    opinion: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, expected = CHANGES[number]
    family = FakeFamily(opinion, {ONE: [A, B], TWO: [C]})
    monkeypatch.setattr(engine_module, "WireGuardFamily", lambda: family)
    KernelEngine().set("wg0", change)
    assert family.table == expected


@pytest.mark.parametrize(
    ("opinion", "calls"),
    [
        # The first time it looks; then it knows.
        ("removes", ["get", "set", "get", "get", "set"]),
        ("refuses", ["get", "set", "set", "get", "set"]),
        ("passes over", ["get", "set", "get", "set", "get", "set"]),
    ],
)
def test_what_the_kernel_can_is_found_out_once(
    opinion: str, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    family = FakeFamily(opinion, {ONE: [A, B, C]})
    monkeypatch.setattr(engine_module, "WireGuardFamily", lambda: family)
    engine = KernelEngine()
    for network in (A, B):
        engine.set("wg0", DeviceChange(peers=(PeerChange(ONE, removed_allowed_ips=(network,)),)))
    assert family.calls == calls
    assert family.table == {ONE: [C]}


def test_a_removal_of_nothing_teaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    family = FakeFamily("passes over", {ONE: [A, B], TWO: [C]})
    monkeypatch.setattr(engine_module, "WireGuardFamily", lambda: family)
    engine = KernelEngine()
    for network in (C, D, A):
        engine.set("wg0", DeviceChange(peers=(PeerChange(ONE, removed_allowed_ips=(network,)),)))
    back = PeerChange(ONE, removed_allowed_ips=(B,)), PeerChange(ONE, allowed_ips=(B,))
    engine.set("wg0", DeviceChange(peers=back))
    assert family.table == {ONE: [B], TWO: [C]}


def test_another_refusal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    family = FakeFamily("removes", {ONE: [A]})
    monkeypatch.setattr(engine_module, "WireGuardFamily", lambda: family)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(family, "set", refuse)
    with pytest.raises(PermissionError):
        KernelEngine().set("wg0", DeviceChange(peers=(PeerChange(ONE, removed_allowed_ips=(A,)),)))
