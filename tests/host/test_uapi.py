"""The UAPI text, and a client of it before engines that answer well, badly, or not at all."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirewright.host.device import NO_KEY, DeviceChange, DeviceState, PeerChange, PeerState, SocketAddress
from wirewright.host.filtering import AllowRule, PacketFilter, PortRange, Protocol
from wirewright.host.userspace import client as client_module
from wirewright.host.userspace.client import UapiClient
from wirewright.host.userspace.text import Report, set_request
from wirewright.keys import PresharedKey, PublicKey, SecretKey

SECRET = bytes([*range(0x40, 0x5F), 0x5F])
PRESHARED = bytes(range(0xA0, 0xC0))
PUBLIC, OTHER = PublicKey.from_hex("b1" * 32), PublicKey.from_hex("b2" * 32)


def secret() -> SecretKey:
    return SecretKey.from_buffer(bytearray(SECRET))


def preshared() -> PresharedKey:
    return PresharedKey.from_buffer(bytearray(PRESHARED))


def test_a_request_with_everything() -> None:
    peers = (
        PeerChange(
            PUBLIC,
            update_only=True,
            preshared_key=preshared(),
            endpoint=SocketAddress(ip_address("fe80::1%eth0"), 51820),
            persistent_keepalive=25,
            replace_allowed_ips=True,
            allowed_ips=(ip_network("10.0.0.0/8"), ip_network("::/0")),
            removed_allowed_ips=(ip_network("10.1.0.0/16"),),
        ),
        PeerChange(OTHER, preshared_key=NO_KEY, endpoint=SocketAddress(ip_address("192.0.2.1"), 1)),
        PeerChange(OTHER, remove=True),
    )
    change = DeviceChange(secret(), 51820, 16, replace_peers=True, peers=peers)
    assert set_request(change).decode().splitlines() == [
        "set=1",
        f"private_key={SECRET.hex()}",
        "listen_port=51820",
        "fwmark=16",
        "replace_peers=true",
        f"public_key={'b1' * 32}",
        "update_only=true",
        f"preshared_key={PRESHARED.hex()}",
        "endpoint=[fe80::1%eth0]:51820",
        "persistent_keepalive_interval=25",
        "replace_allowed_ips=true",
        "allowed_ip=10.0.0.0/8",
        "allowed_ip=::/0",
        "allowed_ip=-10.1.0.0/16",
        f"public_key={'b2' * 32}",
        f"preshared_key={'00' * 32}",
        "endpoint=192.0.2.1:1",
        f"public_key={'b2' * 32}",
        "remove=true",
        "",
    ]
    assert bytes(set_request(DeviceChange(NO_KEY))) == f"set=1\nprivate_key={'00' * 32}\n\n".encode()
    assert bytes(set_request(DeviceChange())) == b"set=1\n\n"


def test_a_request_for_a_packet_filter() -> None:
    settings = PacketFilter((ip_address("10.0.0.1"), ip_address("fd00::1")), (ip_network("10.0.0.0/24"),))
    rules = (
        AllowRule(ip_network("0.0.0.0/0")),
        AllowRule(ip_network("10.0.0.7/32"), Protocol.TCP, PortRange(80, 89)),
        AllowRule(ip_network("::/0"), Protocol.UDP, PortRange(53, 53)),
        AllowRule(ip_network("::/0"), Protocol.ICMP),
    )
    peers = (PeerChange(PUBLIC, rules=rules), PeerChange(OTHER, rules=()))
    assert set_request(DeviceChange(filter=settings, peers=peers)).decode().splitlines() == [
        "set=1",
        "filter=true",
        "filter_own=10.0.0.1",
        "filter_own=fd00::1",
        "filter_protected=10.0.0.0/24",
        f"public_key={'b1' * 32}",
        "replace_rules=true",
        "allow=any 0.0.0.0/0",
        "allow=tcp 10.0.0.7/32 80-89",
        "allow=udp ::/0 53",
        "allow=icmp ::/0",
        f"public_key={'b2' * 32}",
        "replace_rules=true",
        "",
    ]
    assert bytes(set_request(DeviceChange(filter=False))) == b"set=1\nfilter=false\n\n"


ANSWER = f"""private_key={SECRET.hex()}
listen_port=51820
fwmark=16
public_key={"b1" * 32}
preshared_key={PRESHARED.hex()}
protocol_version=1
endpoint=[fe80::1%eth0]:51820
last_handshake_time_sec=1700000000
last_handshake_time_nsec=5
tx_bytes=4294967298
rx_bytes=3
persistent_keepalive_interval=25
allowed_ip=10.0.0.0/8
allowed_ip=::/0
something_new=yes
public_key={"b2" * 32}
preshared_key={"00" * 32}
endpoint=192.0.2.1:1
errno=0

""".encode()
STATE = DeviceState(
    "wg0",
    secret(),
    51820,
    16,
    (
        PeerState(
            PUBLIC,
            preshared(),
            SocketAddress(ip_address("fe80::1%eth0"), 51820),
            persistent_keepalive=25,
            latest_handshake=1_700_000_000_000_000_005,
            received=3,
            sent=4294967298,
            allowed_ips=(ip_network("10.0.0.0/8"), ip_network("::/0")),
        ),
        PeerState(OTHER, endpoint=SocketAddress(ip_address("192.0.2.1"), 1)),
    ),
)

Answer = Callable[[socket.socket], None]


@pytest.fixture(autouse=True)
def _sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SOCKETS", tmp_path)


@contextmanager
def engine(answer: Answer | bytes) -> Iterator[UapiClient]:
    """Serve wg0 once: read a request, and answer it."""
    with socket.create_server(str(client_module.socket_of("wg0")), family=socket.AF_UNIX) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as lines:
                while lines.readline() not in (b"\n", b""):
                    pass
                try:
                    if callable(answer):
                        answer(connection)
                    else:
                        connection.sendall(answer)
                except (BrokenPipeError, ConnectionResetError):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        with UapiClient("wg0") as client:
            yield client
        thread.join()


def test_a_state_is_told() -> None:
    with engine(ANSWER) as client:
        assert client.get() == STATE


@pytest.mark.parametrize("size", [1, 7, 64])
def test_an_answer_may_come_in_pieces(size: int) -> None:
    def answer(connection: socket.socket) -> None:
        for start in range(0, len(ANSWER), size):
            connection.sendall(ANSWER[start : start + size])

    with engine(answer) as client:
        assert client.get() == STATE


def test_a_hundred_thousand_allowed_ips_are_read() -> None:
    networks = [ip_network((0x0A00_0000 + number, 32)) for number in range(100_000)]
    lines = b"".join(b"allowed_ip=%s\n" % str(network).encode() for network in networks)
    with engine(f"public_key={'b1' * 32}\n".encode() + lines + b"errno=0\n\n") as client:
        assert client.get().peers[0].allowed_ips == tuple(networks)


@pytest.mark.parametrize(("answer", "number"), [(b"errno=-98\n\n", 98), (b"errno=98\n\n", 98)])
def test_a_refusal_is_an_error_of_the_system(answer: bytes, number: int) -> None:
    with engine(answer) as client, pytest.raises(OSError) as caught:  # noqa: PT011 - its number is compared
        client.set(DeviceChange(listen_port=1))
    assert caught.value.errno == number


def test_counters_are_told() -> None:
    with engine(b"dropped_here=3\ndropped_there=0\nerrno=0\n\n") as client:
        assert client.counters() == {"dropped_here": 3, "dropped_there": 0}


@pytest.mark.parametrize(("line", "silent"), [(b"silent=1\n", True), (b"silent=0\n", False), (b"", False)])
def test_that_an_interface_is_silent_is_told_with_the_counters(line: bytes, silent: bool) -> None:
    with engine(b"dropped_here=3\n" + line + b"errno=0\n\n") as client:
        assert client.is_silent() is silent


def test_silence_is_no_counter() -> None:
    with engine(b"dropped_here=3\nsilent=1\nerrno=0\n\n") as client:
        assert client.counters() == {"dropped_here": 3}


def test_what_waits_for_sessions_is_told() -> None:
    with engine(b"dropped_here=3\nstaged_bytes=70\nerrno=0\n\n") as client:
        assert client.staged_bytes() == 70


def test_what_goes_up_and_down_is_no_counter() -> None:
    with engine(b"dropped_here=3\nstaged_bytes=70\nerrno=0\n\n") as client:
        assert client.counters() == {"dropped_here": 3}


@pytest.mark.parametrize("length", [0, 1, 20, 100, len(ANSWER) - 1, len(ANSWER) - 2])
def test_an_answer_that_is_cut_off_is_refused(length: int) -> None:
    with engine(ANSWER[:length]) as client, pytest.raises(OSError, match="ended too early") as caught:
        client.get()
    assert caught.value.errno == errno.EPROTO


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"\n", "no errno"),
        (b"fwmark=0\n\n", "no errno"),
        (b"errno=5000\n\n", "no such error"),
        (b"errno=99999999999999999999999\n\n", "no number"),
        (b"errno=\n\n", "no number"),
        (b"errno=--1\n\n", "no number"),
        (b"hello\n\n", "no '='"),
        (b"\xff=1\n\n", "ascii"),
        (b"listen_port=one\n\n", "no number"),
        (b"listen_port=1_0\n\n", "no number"),
        (b"private_key=00\n\n", "64 hexadecimal digits"),
        (b"private_key=" + b"xx" * 32 + b"\n\n", "64 hexadecimal digits"),
        (b"public_key=00\n\n", "64"),
        (ANSWER.replace(b"allowed_ip=::/0", b"allowed_ip=10.0.0.1/8"), "host bits"),
        (ANSWER.replace(b"allowed_ip=::/0", b"allowed_ip=10.0.0.1"), "no length"),
        (ANSWER.replace(b"allowed_ip=::/0", b"allowed_ip=ten/8"), "no address"),
        (ANSWER.replace(b"allowed_ip=::/0", b"allowed_ip=::/129"), "129"),
        (ANSWER.replace(b"endpoint=192.0.2.1:1", b"endpoint=192.0.2.1"), "no port"),
        (ANSWER.replace(b"endpoint=192.0.2.1:1", b"endpoint=192.0.2.1:65536"), "no port"),
        (ANSWER.replace(b"endpoint=192.0.2.1:1", b"endpoint=fe80::1:1"), "brackets"),
        (b"a" * 100_000, "no end"),
    ],
)
def test_garbage_is_refused(answer: bytes, words: str) -> None:
    with engine(answer) as client, pytest.raises(OSError, match=words) as caught:
        client.get()
    assert caught.value.errno == errno.EPROTO


@pytest.mark.parametrize(
    "piece", [b"allowed_ip=10.0.0.0/8\n" * 1000, b"x" * 10_000, b"something_new=1\n" * 1000]
)
def test_an_answer_without_end_is_given_up(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LONGEST_ANSWER", 1 << 20)

    def answer(connection: socket.socket) -> None:
        connection.sendall(f"public_key={'b1' * 32}\n".encode())
        while True:
            connection.sendall(piece)

    with engine(answer) as client, pytest.raises(OSError, match="no end"):
        client.get()


def test_an_engine_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PATIENCE", 0.1)
    given_up = threading.Event()

    def answer(_: socket.socket) -> None:
        given_up.wait(30)

    with engine(answer) as client:
        with pytest.raises(TimeoutError, match="wg0: the engine takes too long"):
            client.get()
        given_up.set()


def test_an_engine_that_says_a_little_again_and_again_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LONGEST_CALL", 0.3)

    def answer(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"something_new=1\n")
            threading.Event().wait(0.01)

    with engine(answer) as client, pytest.raises(TimeoutError, match="takes too long"):
        client.get()


def test_an_engine_that_reads_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PATIENCE", 0.1)
    path = str(client_module.socket_of("wg0"))
    networks = tuple(ip_network((0x0A00_0000 + number, 32)) for number in range(100_000))
    change = DeviceChange(peers=(PeerChange(PUBLIC, allowed_ips=networks),))
    with socket.create_server(path, family=socket.AF_UNIX), UapiClient("wg0") as client:
        with pytest.raises(TimeoutError, match="takes too long"):
            client.set(change)


def test_a_request_that_is_refused_before_it_was_read_is_told() -> None:
    networks = tuple(ip_network((0x0A00_0000 + number, 32)) for number in range(100_000))
    change = DeviceChange(peers=(PeerChange(PUBLIC, allowed_ips=networks),))
    path = str(client_module.socket_of("wg0"))
    with socket.create_server(path, family=socket.AF_UNIX) as server, UapiClient("wg0") as client:
        connection, _ = server.accept()

        def refuse() -> None:
            connection.recv(100)
            connection.sendall(b"errno=22\n\n")
            connection.close()

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(OSError, match="Invalid argument"):
            client.set(change)
        thread.join()


def test_where_nobody_serves_it_is_told() -> None:
    with pytest.raises(FileNotFoundError):
        UapiClient("wg0")
    socket.create_server(str(client_module.socket_of("wg0")), family=socket.AF_UNIX).close()
    with pytest.raises(ConnectionRefusedError):
        UapiClient("wg0")


WORDS = st.sampled_from(
    [*(line.split(b"=")[0] + b"=" for line in ANSWER.split()), b"\n", b"errno=0\n\n", b"-", b"[", b"]:", b"/"]
)


@given(st.lists(st.one_of(st.binary(max_size=40), WORDS, st.just(ANSWER))), st.integers(1, 200))
def test_no_answer_breaks_the_reader(pieces: list[bytes], size: int) -> None:
    """Whatever comes, and wherever it is cut: it is taken, or ValueError is raised."""
    text = b"".join(pieces)
    report, buffer = Report("wg0"), bytearray()
    try:
        for start in range(0, len(text), size):
            buffer += text[start : start + size]
            del buffer[: report.take(buffer, len(buffer))]
        report.state()
    except ValueError:
        pass
