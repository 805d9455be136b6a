"""What engines in user space are put to by our client, in a host of the lab; a test each.

`test_uapi_engine.py` asks for them.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from tests.lab.engines import dump, public, refused, wg
from wirewright.host.device import NO_KEY, DeviceChange, DeviceState, PeerChange, PeerState, SocketAddress
from wirewright.host.kernel.engine import KernelEngine
from wirewright.host.network import Network
from wirewright.host.userspace.engine import UserspaceEngine
from wirewright.keys import PresharedKey, PublicKey, SecretKey

ENGINE = UserspaceEngine()
NAME = "wg0"


def by_key(peers: Iterable[PeerState]) -> dict[PublicKey, PeerState]:
    return {peer.public_key: peer for peer in peers}


def test_every_setting_is_told_as_it_was_set(*differences: str) -> None:
    key, preshared = SecretKey.generate(), PresharedKey.generate()
    networks = tuple(map(ip_network, ("10.0.0.0/24", "fd00:1::/64", "10.1.0.1/32")))
    peers = (
        PeerChange(
            public(0),
            preshared_key=preshared,
            endpoint=SocketAddress(ip_address("192.0.2.9"), 1),
            persistent_keepalive=25,
            replace_allowed_ips=True,
            allowed_ips=networks,
        ),
        PeerChange(public(1), endpoint=SocketAddress(ip_address("2001:db8::1"), 65535)),
        PeerChange(public(2)),
    )
    # boringtun gives a peer what the one before it in the request has, and it has not.
    together = 1 if "one peer a request" in differences else len(peers)
    ENGINE.set(NAME, DeviceChange(key, 51999, 0xCA6C, replace_peers=True, peers=peers[:together]))
    for peer in peers[together:]:
        ENGINE.set(NAME, DeviceChange(peers=(peer,)))
    state = ENGINE.get(NAME)
    assert state.private_key == (None if "no private key" in differences else key)
    assert (state.name, state.listen_port) == (NAME, 51999)
    assert state.fwmark == 0xCA6C
    told = by_key(state.peers)
    assert told.keys() == {public(0), public(1), public(2)}
    first = told[public(0)]
    assert (first.preshared_key, first.persistent_keepalive) == (preshared, 25)
    assert set(first.allowed_ips) == set(networks)
    assert (first.latest_handshake, first.received) == (0, 0)
    endpoints = [told[public(number)].endpoint for number in range(3)]
    assert endpoints == [peers[0].endpoint, peers[1].endpoint, None]
    assert (told[public(2)].preshared_key, told[public(2)].allowed_ips) == (None, ())
    check_dump(state)
    if "no peer changes" in differences:
        return

    first_again = PeerChange(
        public(0), preshared_key=NO_KEY, persistent_keepalive=0, replace_allowed_ips=True
    )
    ENGINE.set(NAME, DeviceChange(peers=(first_again, PeerChange(public(1), remove=True))))
    told = by_key(ENGINE.get(NAME).peers)
    assert told.keys() == {public(0), public(2)}
    first = told[public(0)]
    assert (first.preshared_key, first.persistent_keepalive, first.allowed_ips) == (None, 0, ())
    assert first.endpoint == peers[0].endpoint


def check_dump(state: DeviceState) -> None:
    """Compare with what `wg` reads. An engine may tell its peers in another order each time."""
    ours, theirs = dump(state).splitlines(), wg("show", NAME, "dump").splitlines()

    def fields(lines: list[str]) -> list[list[str]]:
        rows = [line.split("\t") for line in lines]
        for row in rows[1:]:
            row[3] = ",".join(sorted(row[3].split(",")))
        return [rows[0], *sorted(rows[1:])]

    assert fields(ours) == fields(theirs)


def test_many_are_read_as_they_were_set(peers: str, networks: str) -> None:
    count = int(networks)
    changes = tuple(
        PeerChange(
            public(peer),
            allowed_ips=tuple(
                ip_network((0x0A00_0000 + number, 32)) for number in range(peer * count, (peer + 1) * count)
            ),
        )
        for peer in range(int(peers))
    )
    # Some of the others fall over a peer where there is no key yet.
    ENGINE.set(NAME, DeviceChange(SecretKey.generate(), replace_peers=True, peers=changes))
    told = by_key(ENGINE.get(NAME).peers)
    assert {key: set(peer.allowed_ips) for key, peer in told.items()} == {
        change.public_key: set(change.allowed_ips) for change in changes
    }


def test_single_allowed_ips_are_removed() -> None:
    a, b, c = map(ip_network, ("10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"))
    peers = PeerChange(public(0), allowed_ips=(a, b)), PeerChange(public(1), allowed_ips=(c,))
    ENGINE.set(NAME, DeviceChange(SecretKey.generate(), replace_peers=True, peers=peers))
    ENGINE.set(NAME, DeviceChange(peers=(PeerChange(public(0), removed_allowed_ips=(a, c)),)))
    told = by_key(ENGINE.get(NAME).peers)
    assert (told[public(0)].allowed_ips, told[public(1)].allowed_ips) == ((b,), (c,))


def test_what_is_refused_changes_nothing() -> None:
    before = dump(ENGINE.get(NAME))
    with_port_taken = DeviceChange(SecretKey.generate(), 52000, replace_peers=True)
    assert refused(lambda: ENGINE.set(NAME, with_port_taken)) == errno.EADDRINUSE
    assert dump(ENGINE.get(NAME)) == before


def test_counters_are_told() -> None:
    counters = ENGINE.counters(NAME)
    assert counters
    assert "errno" not in counters


def test_an_interface_is_made_found_and_deleted() -> None:
    assert ENGINE.why_absent() is None
    assert (ENGINE.has("wg7"), ENGINE.interfaces()) == (False, [])
    for _ in range(2):
        ENGINE.create("wg7")
        assert (ENGINE.has("wg7"), ENGINE.interfaces()) == (True, ["wg7"])
        assert ENGINE.get("wg7").peers == ()
        assert refused(lambda: ENGINE.create("wg7")) == errno.EEXIST
        ENGINE.delete("wg7")
        assert (ENGINE.has("wg7"), ENGINE.interfaces()) == (False, [])
    assert refused(lambda: ENGINE.delete("wg7")) == errno.ENODEV
    # What is another's stays, whichever engine is asked.
    assert refused(lambda: ENGINE.delete("eth0")) == errno.ENODEV
    assert refused(lambda: KernelEngine().delete("eth0")) == errno.EOPNOTSUPP
    with Network() as network:
        assert network.link("eth0")
    assert refused(lambda: ENGINE.get("wg7")) == errno.ENOENT


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
