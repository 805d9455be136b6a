"""The loads themselves: TCP streams by iperf3, datagrams by processes of our own, pings."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from wirewright.bench import datagrams
from wirewright.bench.arena import Arena
from wirewright.bench.errors import BenchError
from wirewright.bench.parsing import RoundTrips, Streams, round_trips_in, streams_in
from wirewright.lab import Machine

SLACK = 40.0
"""Seconds that a load may take beyond its time."""
PING_EVERY = 0.01
"""Seconds."""


@dataclass(frozen=True)
class Datagrams:
    """What became of datagrams."""

    sent: int
    received: int
    seconds: float
    """From the first that arrived to the last."""
    at_once: float
    """How many left together, in the mean."""


def run_streams(arena: Arena, seconds: float, count: int, *, back: bool = False) -> Streams:
    """Run TCP streams from a to b, or back."""
    with _iperf_server(arena.b):
        command = ["iperf3", "--json", "-c", arena.address, "-t", f"{seconds:g}", "-P", str(count)]
        done = arena.a.run(*command, *(["-R"] if back else []), check=False, timeout=seconds + SLACK)
    return streams_in(done.stdout or done.stderr)


def run_stream_each(arena: Arena, addresses: Sequence[str], seconds: float) -> Streams:
    """Run a TCP stream from a to each of these addresses of b, all at once, and add them up."""
    with contextlib.ExitStack() as stack:
        for address in addresses:
            stack.enter_context(_iperf_server(arena.b, "--bind", address))
        commands = (["iperf3", "--json", "-c", address, "-t", f"{seconds:g}"] for address in addresses)
        clients = [stack.enter_context(_popen(arena.a, command)) for command in commands]
        streams = []
        for client in clients:
            try:
                said, _ = client.communicate(timeout=seconds + SLACK)
            except subprocess.TimeoutExpired:
                raise BenchError("one of many TCP streams does not end") from None
            streams.append(streams_in(str(said)))
    return Streams(sum(each.bits_per_second for each in streams), sum(each.bytes for each in streams))


def run_ping(arena: Arena, seconds: float) -> RoundTrips:
    """Ping from a to b."""
    count = str(max(2, int(seconds / PING_EVERY)))
    command = ["ping", "-n", "-i", f"{PING_EVERY:g}", "-c", count, "-w", f"{seconds + 5:.0f}", arena.address]
    return round_trips_in(arena.a.run(*command, check=False, timeout=seconds + SLACK).stdout)


def run_datagrams(arena: Arena, size: int, seconds: float, rate: int, *, singly: bool = False) -> Datagrams:
    """Send datagrams from a to b, so many a second (0: as fast as it goes), in bursts or one by one."""
    words = ["send", arena.address, str(size), f"{seconds:g}", str(rate), *(["singly"] if singly else [])]
    with _python(arena.b, "receive") as receiver:
        assert receiver.stdout is not None
        if receiver.stdout.readline() != "ready\n":
            raise BenchError("the receiver of datagrams does not start")
        with _python(arena.a, *words) as sender:
            told = json.loads(_answer(sender, seconds))
        got = json.loads(_answer(receiver, seconds))
    if got["received"] < 2:
        raise BenchError(f"of {told['sent']} datagrams {got['received']} arrived")
    at_once = told["sent"] / max(1, told["bursts"])
    return Datagrams(int(told["sent"]), int(got["received"]), float(got["seconds"]), at_once)


@contextlib.contextmanager
def stream_beside(arena: Arena, seconds: float) -> Iterator[None]:
    """Keep a TCP stream going, which flows when the block begins."""
    before = arena.passed()
    with _iperf_server(arena.b):
        command = ["iperf3", "-c", arena.address, "-t", f"{seconds + SLACK:g}"]
        stream = arena.a.popen(
            *command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            end = time.monotonic() + SLACK
            while arena.passed() - before < 1_000_000:
                if time.monotonic() > end or stream.poll() is not None:
                    raise BenchError("the TCP stream beside the pings does not flow")
                time.sleep(0.02)
            yield
            if stream.poll() is not None:
                raise BenchError("the TCP stream beside the pings ended before them")
        finally:
            stream.kill()
            stream.wait()


@contextlib.contextmanager
def _iperf_server(machine: Machine, *options: str) -> Iterator[None]:
    command = ["iperf3", "--server", "--one-off", "--forceflush", *options]
    with _popen(machine, command) as server:
        assert server.stdout is not None
        for line in server.stdout:
            if "listening" in line:
                break
        else:
            raise BenchError("the server of iperf3 does not start")
        yield


@contextlib.contextmanager
def _python(machine: Machine, *words: str) -> Iterator["subprocess.Popen[str]"]:
    with _popen(machine, [sys.executable, "-m", datagrams.__name__, *words]) as process:
        yield process


@contextlib.contextmanager
def _popen(machine: Machine, command: list[str]) -> Iterator["subprocess.Popen[str]"]:
    # What went wrong is told by the other end.
    streams: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.DEVNULL,
    }
    with machine.popen(*command, **streams, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _answer(process: "subprocess.Popen[str]", seconds: float) -> str:
    try:
        said, _ = process.communicate(timeout=seconds + SLACK)
    except subprocess.TimeoutExpired:
        raise BenchError("a sender or receiver of datagrams does not end") from None
    if process.returncode != 0:
        raise BenchError(f"a sender or receiver of datagrams ended with status {process.returncode}")
    return str(said)
