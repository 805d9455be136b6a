"""What is measured: each workload puts one kind of load on a fresh arena, and returns figures."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from wirewright.bench import datagrams, proc
from wirewright.bench.arena import Arena
from wirewright.bench.contestants import idle_peers, wg
from wirewright.bench.errors import BenchError
from wirewright.bench.parsing import RoundTrips, Streams, round_trips_in, streams_in
from wirewright.bench.usage import Meter, system_calls, why_no_system_calls
from wirewright.lab import Machine, Weather

PEERS = 1000
PACE = 30_000
"""Packets a second that every contestant is offered alike."""
ROUGH = Weather(delay=0.025, loss=0.01)
"""50 ms there and back, and 1% of all packets lost, each way."""
SLACK = 40.0
"""Seconds that a measurement may take beyond its time."""
PING_EVERY = 0.01

Figures = Mapping[str, float]


class Workload(Protocol):
    """One kind of load."""

    @property
    def name(self) -> str:
        """By which it is chosen."""

    @property
    def title(self) -> str:
        """What it is, in a line."""

    @property
    def weather(self) -> Weather | None:
        """What the cable does to packets."""

    @property
    def engines_only(self) -> bool:
        """Whether it says nothing of what is no engine."""

    def why_not(self) -> str | None:
        """Say why it cannot be measured on this machine, or nothing if it can."""

    def measure(self, arena: Arena, seconds: float) -> Figures:
        """Measure for so long."""


@dataclass(frozen=True)
class _Everywhere:
    """What most workloads have in common."""

    name: str
    title: str
    weather: Weather | None = None
    engines_only: bool = False

    def why_not(self) -> str | None:
        """Return nothing: it can be measured everywhere."""
        return None


@dataclass(frozen=True)
class Tcp(_Everywhere):
    """TCP streams as fast as they go."""

    streams: int = 1
    back: bool = False
    """Whether b sends, which did not begin the session."""

    def measure(self, arena: Arena, seconds: float) -> Figures:
        """Measure throughput and what it costs."""
        with Meter(arena.engines) as meter:
            streams = run_streams(arena, seconds, self.streams, back=self.back)
        return {"bits_per_second": streams.bits_per_second, **per_gigabyte(meter, streams.bytes)}


@dataclass(frozen=True)
class Udp(_Everywhere):
    """Datagrams of one size."""

    size: int = 64
    rate: int = 0
    """Datagrams a second; 0: as many as the sender can."""

    def measure(self, arena: Arena, seconds: float) -> Figures:
        """Measure what arrives and what each that does costs."""
        with _python(arena.b, "receive") as receiver:
            assert receiver.stdout is not None
            if receiver.stdout.readline() != "ready\n":
                raise BenchError("the receiver of datagrams does not start")
            with Meter(arena.engines) as meter:
                sent = _run_sender(arena, self.size, seconds, self.rate)
                got = json.loads(_answer(receiver, seconds))
        received = int(got["received"])
        if received < 2:
            raise BenchError(f"of {sent} datagrams {received} arrived")
        figures = {"packets_per_second": received / got["seconds"], "loss": max(0.0, 1 - received / sent)}
        if arena.engines:
            figures |= {"cpu_per_packet": meter.seconds / received, "peak_memory": meter.peak_memory}
        return figures


@dataclass(frozen=True)
class Ping(_Everywhere):
    """Round trips, with or without a TCP stream beside them."""

    loaded: bool = False

    def measure(self, arena: Arena, seconds: float) -> Figures:
        """Measure round trips."""
        with _stream_beside(arena, seconds) if self.loaded else contextlib.nullcontext():
            trips = run_ping(arena, seconds)
        return {
            "round_trip_median": trips.median,
            "round_trip_p99": trips.within(0.99),
            "loss": trips.loss,
        }


@dataclass(frozen=True)
class SystemCalls(_Everywhere):
    """System calls of the engines, for one TCP stream; counting slows them down."""

    def why_not(self) -> str | None:
        """Say why they cannot be counted."""
        return why_no_system_calls()

    def measure(self, arena: Arena, seconds: float) -> Figures:
        """Count."""
        if not arena.engines:
            return {}
        with system_calls(arena.engines) as counted:
            streams = run_streams(arena, seconds, 1)
        return {"system_calls_per_gigabyte": counted.count / (streams.bytes / 1e9)}


@dataclass(frozen=True)
class Peers(_Everywhere):
    """Many peers, of which one is busy."""

    engines_only: bool = True
    peers: int = PEERS

    def measure(self, arena: Arena, seconds: float) -> Figures:
        """Measure what idle peers take, and what is left to the busy one."""
        before = [proc.memory_of(process).now for process in arena.engines]
        for host in (arena.a, arena.b):
            wg(host, "addconf", idle_peers(self.peers - 1))
        after = [proc.memory_of(process).now for process in arena.engines]
        with Meter(arena.engines) as meter:
            streams = run_streams(arena, seconds, 1)
        grown = sum(after) - sum(before)
        return {
            "bits_per_second": streams.bits_per_second,
            "resident_memory": max(after),
            "memory_per_peer": grown / len(after) / (self.peers - 1),
            **per_gigabyte(meter, streams.bytes),
        }


def per_gigabyte(meter: Meter, moved: int) -> Figures:
    """Return what was used for each gigabyte (10^9 bytes of what the programs sent to each other)."""
    figures = {"machine_cpu_per_gigabyte": meter.machine_seconds / (moved / 1e9)}
    if meter.processes:
        figures |= {
            "cpu_per_gigabyte": meter.seconds / (moved / 1e9),
            "peak_memory": meter.peak_memory,
        }
    return figures


def run_streams(arena: Arena, seconds: float, count: int, *, back: bool = False) -> Streams:
    """Run TCP streams from a to b, or back."""
    with _iperf_server(arena.b):
        command = ["iperf3", "--json", "-c", arena.address, "-t", f"{seconds:g}", "-P", str(count)]
        done = arena.a.run(*command, *(["-R"] if back else []), check=False, timeout=seconds + SLACK)
    return streams_in(done.stdout or done.stderr)


def run_ping(arena: Arena, seconds: float) -> RoundTrips:
    """Ping from a to b."""
    count = str(max(2, int(seconds / PING_EVERY)))
    command = ["ping", "-n", "-i", f"{PING_EVERY:g}", "-c", count, "-w", f"{seconds + 5:.0f}", arena.address]
    return round_trips_in(arena.a.run(*command, check=False, timeout=seconds + SLACK).stdout)


@contextlib.contextmanager
def _stream_beside(arena: Arena, seconds: float) -> Iterator[None]:
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
def _iperf_server(machine: Machine) -> Iterator[None]:
    command = ["iperf3", "--server", "--one-off", "--forceflush"]
    with _popen(machine, command) as server:
        assert server.stdout is not None
        for line in server.stdout:
            if "listening" in line:
                break
        else:
            raise BenchError("the server of iperf3 does not start")
        yield


def _run_sender(arena: Arena, size: int, seconds: float, rate: int) -> int:
    with _python(arena.a, "send", arena.address, str(size), f"{seconds:g}", str(rate)) as sender:
        return int(json.loads(_answer(sender, seconds))["sent"])


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


def _all() -> Iterator[Workload]:
    for weather, prefix, where in ((None, "tcp", ""), (ROUGH, "rough", ", 50 ms and 1% lost")):
        for streams in (1, 8):
            for back in (False, True):
                many = f"{streams} TCP stream{'s' * (streams > 1)}"
                yield Tcp(
                    f"{prefix}-{streams}{'-back' * back}",
                    f"{many}{', b to a' if back else ''}{where}",
                    weather,
                    streams=streams,
                    back=back,
                )
    yield Udp("udp-64", "datagrams of 64 bytes, as fast as they are sent", size=64)
    yield Udp(
        "udp-1400",
        "datagrams of 1,372 bytes, which make packets of 1,400, as fast as they are sent",
        size=1372,
    )
    yield Udp("udp-64-paced", f"datagrams of 64 bytes, {PACE:,} a second", size=64, rate=PACE)
    yield Ping("ping-idle", "round trips through an idle tunnel")
    yield Ping("ping-loaded", "round trips beside a TCP stream", loaded=True)
    yield SystemCalls("system-calls", "system calls, 1 TCP stream")
    yield Peers("peers-1000", f"{PEERS:,} peers, 1 TCP stream with one of them")


WORKLOADS: Mapping[str, Workload] = {workload.name: workload for workload in _all()}
"""All of them, by name."""


__all__ = ["WORKLOADS", "Figures", "Workload"]
