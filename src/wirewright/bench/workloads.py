"""What is measured: each workload puts one kind of load on a fresh arena, and returns figures."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from wirewright.bench import proc
from wirewright.bench.arena import Arena
from wirewright.bench.contestants import Kind, idle_peers, wg
from wirewright.bench.hub import add_spokes
from wirewright.bench.loads import run_datagrams, run_ping, run_stream_each, run_streams, stream_beside
from wirewright.bench.usage import Meter, system_calls, why_no_system_calls
from wirewright.lab import Weather

PEERS = 1000
BUSY = 8
"""Peers that all are busy: so many that several shards have some each."""
PACE = 30_000
"""Packets a second that every contestant is offered alike."""
ROUGH = Weather(delay=0.025, loss=0.01)
"""50 ms there and back, and 1% of all packets lost, each way."""
ENGINES = frozenset({Kind.ENGINE})

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
    def kinds(self) -> frozenset[Kind]:
        """Whom it says something of."""

    @property
    def main(self) -> str:
        """The figure that it is about."""

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
    kinds: frozenset[Kind] = frozenset(Kind)
    main: str = "bits_per_second"

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
    singly: bool = False
    """Whether they leave one by one, if there is a rate, or in bursts."""

    def measure(self, arena: Arena, seconds: float) -> Figures:
        """Measure what arrives and what each that does costs."""
        with Meter(arena.engines) as meter:
            moved = run_datagrams(arena, self.size, seconds, self.rate, singly=self.singly)
        figures = {
            "packets_per_second": moved.received / moved.seconds,
            "loss": max(0.0, 1 - moved.received / moved.sent),
        }
        if self.rate:
            figures["datagrams_at_once"] = moved.at_once
        if arena.engines:
            figures |= {"cpu_per_packet": meter.seconds / moved.received, "peak_memory": meter.peak_memory}
        return figures


@dataclass(frozen=True)
class Ping(_Everywhere):
    """Round trips, with or without a TCP stream beside them."""

    loaded: bool = False

    def measure(self, arena: Arena, seconds: float) -> Figures:
        """Measure round trips."""
        with stream_beside(arena, seconds) if self.loaded else contextlib.nullcontext():
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
        with system_calls(arena.engines) as counted:
            streams = run_streams(arena, seconds, 1)
        return {"system_calls_per_gigabyte": counted.count / (streams.bytes / 1e9)}


@dataclass(frozen=True)
class Peers(_Everywhere):
    """Many peers, of which one is busy."""

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


@dataclass(frozen=True)
class BusyPeers(_Everywhere):
    """Some peers, all of them busy: a TCP stream from a to each."""

    peers: int = BUSY

    def measure(self, arena: Arena, seconds: float) -> Figures:
        """Measure throughput of all together, and what it costs."""
        addresses = [arena.address, *add_spokes(arena, self.peers - 1)]
        with Meter(arena.engines) as meter:
            streams = run_stream_each(arena, addresses, seconds)
        return {"bits_per_second": streams.bits_per_second, **per_gigabyte(meter, streams.bytes)}


def per_gigabyte(meter: Meter, moved: int) -> Figures:
    """Return what was used for each gigabyte (10^9 bytes of what the programs sent to each other)."""
    figures = {"machine_cpu_per_gigabyte": meter.machine_seconds / (moved / 1e9)}
    if meter.processes:
        figures |= {
            "cpu_per_gigabyte": meter.seconds / (moved / 1e9),
            "peak_memory": meter.peak_memory,
        }
    return figures


def _all() -> Iterator[Workload]:
    rough = ("rough", ", 50 ms and 1% lost", ROUGH, ENGINES)
    for prefix, where, weather, kinds in (("tcp", "", None, frozenset(Kind)), rough):
        for streams in (1, 8):
            for back in (False, True):
                many = f"{streams} TCP stream{'s' * (streams > 1)}"
                yield Tcp(
                    f"{prefix}-{streams}{'-back' * back}",
                    f"{many}{', b to a' if back else ''}{where}",
                    weather,
                    kinds,
                    streams=streams,
                    back=back,
                )
    flood = {"udp-64": (64, "64 bytes"), "udp-1400": (1372, "1,372 bytes, packets of 1,400")}
    for name, (size, told) in flood.items():
        yield Udp(
            name, f"datagrams of {told}, as fast as they are sent", main="packets_per_second", size=size
        )
    paced = f"datagrams of 64 bytes, {PACE:,} a second"
    bursts = f"{paced}, in bursts each millisecond"
    yield Udp("udp-64-paced", bursts, main="cpu_per_packet", size=64, rate=PACE)
    single = f"{paced}, one by one"
    yield Udp("udp-64-single", single, main="cpu_per_packet", size=64, rate=PACE, singly=True)
    yield Ping("ping-idle", "an idle tunnel", main="round_trip_median")
    yield Ping("ping-loaded", "a tunnel with a TCP stream in it", main="round_trip_median", loaded=True)
    yield SystemCalls(
        "system-calls",
        "1 TCP stream, system calls counted",
        kinds=frozenset({Kind.ENGINE, Kind.LOOP}),
        main="system_calls_per_gigabyte",
    )
    yield Peers("peers-1000", f"{PEERS:,} peers, 1 TCP stream with one of them", kinds=ENGINES)
    yield BusyPeers("tcp-8-peers", f"{BUSY} peers, 1 TCP stream to each of them", kinds=ENGINES)


WORKLOADS: Mapping[str, Workload] = {workload.name: workload for workload in _all()}
"""All of them, by name."""


__all__ = ["WORKLOADS", "Figures", "Workload"]
