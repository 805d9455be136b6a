"""What the kernel's engine is put to, in the guest.

Each function that is a test is asked for by `test_kernel_engine.py`.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from typing import Any

from tests.lab.engines import dump, public, refused, wg
from wirewright.host.device import NO_KEY, DeviceChange, DeviceState, PeerChange, SocketAddress
from wirewright.host.kernel import family as family_module
from wirewright.host.kernel.decode import Dump
from wirewright.host.kernel.engine import KernelEngine
from wirewright.host.kernel.family import WireGuardFamily
from wirewright.host.network import Network
from wirewright.keys import PresharedKey, PublicKey, SecretKey

ENGINE = KernelEngine()
NAME = "wgtest"


@contextmanager
def interface() -> Iterator[KernelEngine]:
    engine = KernelEngine()
    engine.create(NAME)
    try:
        yield engine
    finally:
        engine.delete(NAME)


def equal_dumps() -> None:
    """Compare what we read with what `wg` does, to the byte."""
    ours, theirs = dump(ENGINE.get(NAME)), wg("show", NAME, "dump")
    if ours != theirs:
        for mine, its in zip(ours.splitlines(), theirs.splitlines(), strict=False):
            assert mine == its, (mine[:2000], its[:2000])
        raise AssertionError((len(ours), len(theirs)))


def test_an_interface_is_made_found_and_deleted() -> None:
    assert ENGINE.why_absent() is None
    assert not ENGINE.has(NAME)
    assert refused(lambda: ENGINE.get(NAME)) == errno.ENODEV
    assert refused(lambda: ENGINE.set(NAME, DeviceChange(listen_port=1))) == errno.ENODEV
    with interface():
        assert ENGINE.has(NAME)
        assert NAME in ENGINE.interfaces()
        assert refused(lambda: ENGINE.create(NAME)) == errno.EEXIST
        assert ENGINE.get(NAME).peers == ()
    assert not ENGINE.has(NAME)
    assert NAME not in ENGINE.interfaces()
    assert refused(lambda: ENGINE.delete(NAME)) == errno.ENODEV


def test_another_interface_is_none_of_its_own() -> None:
    assert not ENGINE.has("lo")
    assert "lo" not in ENGINE.interfaces()
    assert refused(lambda: ENGINE.get("lo")) == errno.EOPNOTSUPP


def test_names_that_cannot_be_are_refused() -> None:
    for name in ("", "x" * 16, "a\0b"):
        assert refused(lambda name=name: ENGINE.get(name)) == errno.EINVAL  # type: ignore[misc]
        assert refused(lambda name=name: ENGINE.set(name, DeviceChange())) == errno.EINVAL  # type: ignore[misc]


def full_peer(number: int, endpoint: str, port: int) -> PeerChange:
    networks = f"10.0.{number}.0/24", f"fd00:{number}::/64", f"10.1.{number}.1/32"
    return PeerChange(
        public(number),
        preshared_key=PresharedKey.generate(),
        endpoint=SocketAddress(ip_address(endpoint), port),
        persistent_keepalive=25,
        allowed_ips=tuple(map(ip_network, networks)),
    )


def test_every_setting_is_told_as_it_was_set() -> None:
    key = SecretKey.generate()
    endpoints = (
        ("192.0.2.1", 1),
        ("2001:db8::1", 65535),
        ("fe80::1%eth0", 51820),
        ("::ffff:192.0.2.7", 7),
        ("2001:db8:0:1::", 8),
    )
    peers = tuple(full_peer(number, *endpoint) for number, endpoint in enumerate(endpoints))
    with interface() as engine:
        engine.set(NAME, DeviceChange(key, 51999, 0xCA6C, peers=(*peers, PeerChange(public(99)))))
        state = engine.get(NAME)
        assert (state.name, state.private_key, state.listen_port, state.fwmark) == (NAME, key, 51999, 0xCA6C)
        assert [peer.public_key for peer in state.peers] == [*(p.public_key for p in peers), public(99)]
        for told, asked in zip(state.peers, peers, strict=False):
            assert told.preshared_key == asked.preshared_key
            assert told.persistent_keepalive == 25
            assert set(told.allowed_ips) == set(asked.allowed_ips)
            assert (told.latest_handshake, told.received, told.sent) == (0, 0, 0)
        assert [peer.endpoint for peer in state.peers] == [*(peer.endpoint for peer in peers), None]
        assert state.peers[-1].allowed_ips == ()
        equal_dumps()

        first = PeerChange(public(0), preshared_key=NO_KEY, persistent_keepalive=0, replace_allowed_ips=True)
        engine.set(NAME, DeviceChange(NO_KEY, 0, 0, peers=(first,)))
        state = engine.get(NAME)
        assert (state.private_key, state.fwmark) == (None, 0)
        told = state.peers[0]
        assert (told.preshared_key, told.persistent_keepalive, told.allowed_ips) == (None, 0, ())
        assert told.endpoint == peers[0].endpoint
        equal_dumps()


def test_peers_are_removed_replaced_and_updated_only() -> None:
    with interface() as engine:
        engine.set(NAME, DeviceChange(peers=tuple(PeerChange(public(n)) for n in range(4))))
        changes = (
            PeerChange(public(0), remove=True),
            PeerChange(public(1), update_only=True, persistent_keepalive=7),
            PeerChange(public(7), update_only=True, persistent_keepalive=7),
            PeerChange(public(8), remove=True),
        )
        engine.set(NAME, DeviceChange(peers=changes))
        assert [(p.public_key, p.persistent_keepalive) for p in engine.get(NAME).peers] == [
            (public(1), 7),
            (public(2), 0),
            (public(3), 0),
        ]
        engine.set(
            NAME, DeviceChange(replace_peers=True, peers=(PeerChange(public(2)), PeerChange(public(9))))
        )
        assert [peer.public_key for peer in engine.get(NAME).peers] == [public(2), public(9)]
        engine.set(NAME, DeviceChange(replace_peers=True))
        assert engine.get(NAME).peers == ()


def networks_of(engine: KernelEngine) -> dict[PublicKey, set[str]]:
    return {peer.public_key: set(map(str, peer.allowed_ips)) for peer in engine.get(NAME).peers}


def test_this_kernel_refuses_the_flag_that_removes_an_allowed_ip() -> None:
    # If it no longer does, the tests below are to be tried with and without.
    with interface() as engine, WireGuardFamily() as family:
        engine.set(
            NAME, DeviceChange(peers=(PeerChange(public(0), allowed_ips=(ip_network("10.0.0.0/8"),)),))
        )
        removal = PeerChange(public(0), removed_allowed_ips=(ip_network("10.0.0.0/8"),))
        assert refused(lambda: family.set(NAME, DeviceChange(peers=(removal,)))) == errno.EINVAL
        assert networks_of(engine) == {public(0): {"10.0.0.0/8"}}


def test_single_allowed_ips_are_removed_all_the_same() -> None:
    a, b, c, d = map(ip_network, ("10.0.0.0/24", "10.0.1.0/24", "fd00:1::/64", "10.0.2.0/24"))
    with interface() as engine:
        peers = (PeerChange(public(0), allowed_ips=(a, b, c)), PeerChange(public(1), allowed_ips=(d,)))
        engine.set(NAME, DeviceChange(peers=peers))
        for _ in range(2):
            # Others keep theirs, and nothing but this differs.
            engine.set(NAME, DeviceChange(peers=(PeerChange(public(0), removed_allowed_ips=(a, c, d)),)))
            assert networks_of(engine) == {public(0): {str(b)}, public(1): {str(d)}}
        both = PeerChange(public(0), allowed_ips=(a,), removed_allowed_ips=(b,))
        absent = PeerChange(public(5), update_only=True, removed_allowed_ips=(d,))
        moved = PeerChange(public(1), allowed_ips=(b,), removed_allowed_ips=(d,))
        engine.set(NAME, DeviceChange(peers=(both, absent, moved)))
        assert networks_of(engine) == {public(0): {str(a)}, public(1): {str(b)}}
        engine.set(NAME, DeviceChange(replace_peers=True, peers=(replace_all(a, b, remove=(b, d)),)))
        assert networks_of(engine) == {public(0): {str(a)}}


def replace_all(*networks: object, remove: tuple[object, ...]) -> PeerChange:
    return PeerChange(
        public(0),
        replace_allowed_ips=True,
        allowed_ips=networks,  # type: ignore[arg-type]
        removed_allowed_ips=remove,  # type: ignore[arg-type]
    )


def test_hundreds_of_allowed_ips_are_removed_at_once() -> None:
    networks = tuple(ip_network((0x0A00_0000 + number, 32)) for number in range(1500))
    with interface() as engine:
        engine.set(NAME, DeviceChange(peers=(PeerChange(public(0), allowed_ips=networks),)))
        going, kept = networks[:1000], networks[1000:]
        engine.set(NAME, DeviceChange(peers=(PeerChange(public(0), removed_allowed_ips=going),)))
        assert networks_of(engine) == {public(0): set(map(str, kept))}


def test_what_is_refused_on_the_way_changes_nothing() -> None:
    with (
        interface() as engine,
        Network() as network,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder,
    ):
        holder.bind(("0.0.0.0", 0))
        port = holder.getsockname()[1]
        first = PeerChange(public(0), allowed_ips=(ip_network("10.0.0.0/24"),))
        engine.set(NAME, DeviceChange(SecretKey.generate(), peers=(first,)))
        network.bring_up(NAME, 1420)
        before = engine.get(NAME)
        # The kernel sets the mark before it finds that the port is taken.
        assert refused(lambda: engine.set(NAME, DeviceChange(None, port, 0x77))) == errno.EADDRINUSE
        assert engine.get(NAME) == before
        # Many messages, of which a later one is refused.
        taken = tuple(PeerChange(public(number), allowed_ips=first.allowed_ips) for number in range(1, 500))
        change = DeviceChange(None, None, 0x77, replace_peers=True, peers=taken)
        last_is_refused(engine, change)
        assert engine.get(NAME) == before


def last_is_refused(engine: KernelEngine, change: DeviceChange) -> None:
    """Ask for a change, the last message of which the kernel does not understand."""
    made: Any = vars(family_module)["set_messages"]

    def damaged(*arguments: Any, **options: Any) -> Iterator[memoryview]:
        vars(family_module)["set_messages"] = made
        messages = 0
        for message in made(*arguments, **options):
            messages += 1
            if messages == 2:
                # The length of the attribute behind the header: WGDEVICE_A_IFNAME.
                message[20:22] = b"\xff\xff"
            yield message
        assert messages > 1

    vars(family_module)["set_messages"] = damaged
    assert refused(lambda: engine.set(NAME, change)) == errno.EINVAL


def test_an_interface_that_changes_while_it_is_read_is_read_again() -> None:
    networks = tuple(ip_network((0x0A00_0000 + number, 32)) for number in range(2500))
    with interface() as engine:
        engine.set(NAME, DeviceChange(peers=(PeerChange(public(0), allowed_ips=networks),)))
        dumps: list[Dump] = []

        class Disturbed(Dump):
            """After the first part of the first dump a peer is added."""

            def __init__(self, name: str) -> None:
                super().__init__(name)
                dumps.append(self)
                self.parts = 0

            def add(self, part: memoryview) -> None:
                super().add(part)
                self.parts += 1
                if len(dumps) == 1 == self.parts:
                    wg("set", NAME, "peer", str(public(1)))

        vars(family_module)["Dump"] = Disturbed
        try:
            state = engine.get(NAME)
        finally:
            vars(family_module)["Dump"] = Dump
        assert len(dumps) == 2
        assert dump(state) == wg("show", NAME, "dump")
        assert {peer.public_key for peer in state.peers} == {public(0), public(1)}


def test_handshakes_and_traffic_are_told_as_wg_tells_them() -> None:
    keys = {name: SecretKey.generate() for name in ("wg-left", "wg-right")}
    for number, (name, key) in enumerate(keys.items()):
        [other] = (theirs for theirs in keys.values() if theirs != key)
        peer = PeerChange(
            other.public_key,
            endpoint=SocketAddress(ip_address("127.0.0.1"), 52000 + 1 - number),
            persistent_keepalive=1,
        )
        ENGINE.create(name)
        ENGINE.set(name, DeviceChange(key, 52000 + number, peers=(peer,)))
        with Network() as network:
            network.bring_up(name, 1420)
    try:
        deadline = time.monotonic() + 60
        while not all(told.received and told.sent for told in (ENGINE.get(n).peers[0] for n in keys)):
            assert time.monotonic() < deadline, [ENGINE.get(name) for name in keys]
            time.sleep(0.1)
        for name in keys:
            # It goes on while it is read.
            while (ours := dump(ENGINE.get(name))) != (theirs := wg("show", name, "dump")):
                assert time.monotonic() < deadline, (ours, theirs)
            assert abs(ENGINE.get(name).peers[0].latest_handshake / 1e9 - time.time()) < 100
    finally:
        for name in keys:
            ENGINE.delete(name)


def configuration(peers: int, networks: int) -> str:
    """Write a configuration for `wg`, networks of both families spread over the peers evenly."""
    lines = [
        "[Interface]",
        f"PrivateKey = {SecretKey.generate().expose()}",
        "ListenPort = 51900",
        "FwMark = 0x10",
    ]
    for peer in range(peers):
        own = ", ".join(
            f"fd00::{n:x}/128" if n % 2 else f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}/32"
            for n in range(peer * networks, (peer + 1) * networks)
        )
        lines += ["[Peer]", f"PublicKey = {public(peer)}", f"AllowedIPs = {own}"]
        if peer % 3 == 0:
            lines.append(f"PresharedKey = {PresharedKey.generate().expose()}")
        if peer % 3 == 1:
            lines.append(f"Endpoint = {f'[2001:db8::{peer:x}]' if peer % 2 else '192.0.2.1'}:{peer + 1}")
        if peer % 5 == 0:
            lines.append("PersistentKeepalive = 25")
    return "\n".join([*lines, ""])


def compare_with_wg(peers: int, networks: int) -> dict[str, float]:
    """Read what `wg` set as it does, and let it read what we set; return how many seconds each took.

    The interfaces stay: to delete three thousand peers takes the kernel longer than all the rest.
    """
    times: dict[str, float] = {}

    @contextmanager
    def timed(what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        times[what] = round(time.monotonic() - began, 2)

    first, second = (f"wg-{peers}-{networks}{end}" for end in "ab")
    ENGINE.create(first)
    with timed("wg sets"):
        wg("setconf", first, "/dev/stdin", text=configuration(peers, networks))
    with timed("wg tells"):
        theirs = wg("show", first, "dump")
    with timed("we read"):
        state = ENGINE.get(first)
    assert dump(state) == theirs
    assert len(state.peers) == peers
    assert sum(len(peer.allowed_ips) for peer in state.peers) == peers * networks

    ENGINE.create(second)
    with timed("we set"):
        ENGINE.set(second, again(state))
    assert wg("show", second, "dump") == theirs
    return times


def again(state: DeviceState) -> DeviceChange:
    """Say what makes an interface like this one."""
    peers = tuple(
        PeerChange(
            peer.public_key,
            preshared_key=peer.preshared_key,
            endpoint=peer.endpoint,
            persistent_keepalive=peer.persistent_keepalive,
            allowed_ips=peer.allowed_ips,
        )
        for peer in state.peers
    )
    return DeviceChange(state.private_key, state.listen_port, state.fwmark, peers=peers)
