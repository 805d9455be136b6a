"""Errors of system calls that pass: the kernel is made to answer with them for a while, by strace."""

from __future__ import annotations

import contextlib
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.nodes import Node, cable, pair, pass_time, transfer, until
from wirewright.lab import Lab, Machine

TUN = ("-P", "/dev/net/tun")
REFUSE_JOINED = (sys.executable, str(Path(__file__).with_name("forbid.py")), "joined")


@contextlib.contextmanager
def failing(machine: Machine, call: str, error: str, *only: str, trace: Path | None = None) -> Iterator[None]:
    """Let a system call of the interface's process fail; each call leaves a line in the trace."""
    (process,) = machine.processes("wirewright-tun")
    with tempfile.TemporaryDirectory() as folder:
        trace = trace or Path(folder) / "trace"
        options = ["-f", *only, "-e", f"trace={call}", "-e", f"inject={call}:error={error}", "-o", str(trace)]
        strace = subprocess.Popen(["strace", *options, "-p", str(process)], stderr=subprocess.PIPE, text=True)
        try:
            assert strace.stderr is not None
            assert " attached" in strace.stderr.readline()
            yield
            wait_for_rest(trace)
        finally:
            # It lets go of the process; a kill would, too, but only after the next call.
            strace.send_signal(signal.SIGINT)
            strace.communicate(timeout=20)


def wait_for_rest(trace: Path) -> None:
    """Return when a call has just failed, or none is tried.

    One that is under way when strace lets go fails as if the kernel did not know it, which no program need
    outlive. Who rests between tries does so for up to a second.
    """
    before, end = trace.read_bytes().count(b"\n"), time.monotonic() + 1.5
    while trace.read_bytes().count(b"\n") == before and time.monotonic() < end:
        time.sleep(0.002)


def try_both_ways(a: Node, b: Node) -> None:
    assert not a.reaches("10.7.0.2")
    assert not b.reaches("10.7.0.1")


@pytest.mark.parametrize(
    ("call", "error", "only", "counter"),
    [
        ("recvmmsg", "ENOBUFS", (), "receive_error"),
        ("recvmmsg", "ENOMEM", (), "receive_error"),
        ("recvmmsg", "ENETDOWN", (), "receive_error"),
        ("recvmmsg", "EHOSTUNREACH", (), "receive_error"),
        ("recvmmsg", "ECONNREFUSED", (), "receive_error"),
        ("read", "EIO", TUN, "interface_unread"),
        ("read", "EINVAL", TUN, "interface_unread"),
        ("read", "ENOMEM", TUN, "interface_unread"),
        ("writev", "EIO", TUN, "interface_refused"),
        ("writev", "ENOBUFS", TUN, "interface_refused"),
        ("sendmmsg", "ENOBUFS", (), "send_no_room"),
        ("sendmmsg", "ENETDOWN", (), "send_unreachable"),
        ("sendmmsg", "EPERM", (), "send_forbidden"),
    ],
)
def test_an_error_that_passes_is_outlived_counted_and_not_tried_without_end(
    call: str, error: str, only: tuple[str, ...], counter: str
) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        processes = lab["a"].processes("wirewright-tun")
        with failing(lab["a"], call, error, *only):
            try_both_ways(a, b)
        a.ping("10.7.0.2")
        b.ping("10.7.0.1")
        assert lab["a"].processes("wirewright-tun") == processes
        # Two pings, a handshake that is repeated; a descriptor that fails is tried again once a second.
        assert 0 < a.counters()[counter] < 500
        transfer(lab["a"], lab["b"], "10.7.0.2", 1_000_000)


def test_a_kernel_that_refuses_joined_packets_gets_them_one_by_one_from_then_on() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, wrapper=REFUSE_JOINED)
        transfer(lab["a"], lab["b"], "10.7.0.2", 5_000_000)
        transfer(lab["b"], lab["a"], "10.7.0.1", 5_000_000)
        for node in (a, b):
            counters = node.counters()
            assert counters["interface_refused"] == 0
            # Of TCP; no joined packet was tried again.
            assert counters["interface_unjoined"] == 1


def test_where_not_even_waiting_is_possible_packets_go_on() -> None:
    with Lab(cable()) as lab:
        a, _ = pair(lab)
        a.ping("10.7.0.2")
        processes = lab["a"].processes("wirewright-tun")
        with failing(lab["a"], "poll,ppoll", "ENOMEM"):
            a.ping("10.7.0.2", count=3)
        a.ping("10.7.0.2")
        assert lab["a"].processes("wirewright-tun") == processes


@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("shards", [1, 4])
def test_with_fewer_descriptors_allowed_than_it_waits_for_it_goes_on_and_still_ends(
    limit: int, shards: int
) -> None:
    with Lab(cable()) as lab:
        a, _ = pair(lab, shards=shards)
        a.ping("10.7.0.2")
        (process,) = lab["a"].processes("wirewright-tun")
        enough, most = resource.prlimit(process, resource.RLIMIT_NOFILE)
        resource.prlimit(process, resource.RLIMIT_NOFILE, (limit, most))
        a.ping("10.7.0.2", count=3)
        assert lab["a"].processes("wirewright-tun") == [process]
        resource.prlimit(process, resource.RLIMIT_NOFILE, (enough, most))
        lab["a"].run("ip", "link", "set", "wg0", "down")
        lab["a"].run("ip", "link", "set", "wg0", "up")
        a.ping("10.7.0.2")
        assert a.wg("show", "listen-port").strip() == "51820"
        resource.prlimit(process, resource.RLIMIT_NOFILE, (limit, most))
        lab["a"].kill("wirewright-tun", signal.SIGTERM)
        until(lambda: not lab["a"].processes("wirewright-tun"), "it has ended")


def test_a_mark_that_only_one_socket_takes_is_taken_back() -> None:
    with Lab(cable()) as lab:
        a, _ = pair(lab)
        a.wg("set", "fwmark", "7")

        def marks() -> list[str]:
            return re.findall(r"fwmark:(\S+)", lab["a"].run("ss", "-ulneH", "sport", "=", "51820").stdout)

        assert marks() == ["0x7", "0x7"]
        with failing(lab["a"], "setsockopt", "EPERM:when=2"):
            refused = lab["a"].run("wg", "set", "wg0", "fwmark", "8", check=False)
        assert "Operation not permitted" in refused.stderr
        assert marks() == ["0x7", "0x7"]
        assert a.wg("show", "fwmark").strip() == "0x7"
        a.ping("10.7.0.2")


@pytest.mark.parametrize("error", ["EMFILE", "ENFILE", "ENOMEM"])
def test_where_no_client_can_be_taken_none_is_tried_without_end_and_packets_go_on(
    error: str, tmp_path: Path
) -> None:
    with Lab(cable()) as lab:
        a, _ = pair(lab)
        a.ping("10.7.0.2")
        trace = tmp_path / "trace"
        with failing(lab["a"], "accept4", error, trace=trace):
            waiting = lab["a"].popen("wg", "show", "wg0", "listen-port", stdout=subprocess.PIPE, text=True)
            pass_time(3)
            a.ping("10.7.0.2")
            assert waiting.poll() is None
        said, _ = waiting.communicate(timeout=20)
        assert said.strip() == str(a.port)
        assert 0 < trace.read_text().count("accept4(") < 200


def test_an_interface_that_goes_down_under_load_carries_on_once_it_is_up() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        processes = lab["b"].processes("wirewright-tun")
        flood = lab["a"].popen("ping", "-n", "-q", "-f", "-s", "1000", "10.7.0.2", stdout=subprocess.DEVNULL)
        for _ in range(10):
            carries(b, a)
            lab["b"].run("ip", "link", "set", "wg0", "down")
            until(lambda: not listens(b), "it has no socket")
            lab["b"].run("ip", "link", "set", "wg0", "up")
            # Its keys are gone: what a sends with them arrives again once b has begun anew.
            b.ping("10.7.0.1")
        lab["a"].kill("ping", signal.SIGINT)
        flood.wait(20)
        assert lab["b"].processes("wirewright-tun") == processes
        assert b.counters()["interface_unread"] == 0


def listens(node: Node) -> bool:
    return f":{node.port}" in node.machine.run("ss", "-uln").stdout


def carries(node: Node, peer: Node) -> None:
    received = node.received(peer)
    until(lambda: node.received(peer) > received + 20_000, "packets flow")
