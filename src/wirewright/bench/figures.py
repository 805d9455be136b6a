"""The figures that are measured: what each is called, its unit, and which way is better."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One kind of number; its values are in the basic unit (bits, seconds, bytes, packets)."""

    name: str
    title: str
    show: Callable[[float], str]
    """Write a value with its unit."""
    more_is_better: bool = False


def _scaled(value: float, units: tuple[str, ...], step: int = 1000) -> str:
    for unit in units[:-1]:
        if abs(value) < step:
            return f"{three_digits(value)} {unit}"
        value /= step
    return f"{three_digits(value)} {units[-1]}"


def three_digits(value: float) -> str:
    """Write a number with three digits that count."""
    if value == 0:
        return "0"
    decimals = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:,.{decimals}f}" if abs(value) >= 0.1 else f"{value:.2g}"


def _rate(value: float) -> str:
    return _scaled(value, ("bit/s", "kbit/s", "Mbit/s", "Gbit/s"))


def _bytes(value: float) -> str:
    return _scaled(value, ("B", "KiB", "MiB", "GiB"), 1024)


def _seconds(value: float) -> str:
    return f"{three_digits(value)} s"


def _milliseconds(value: float) -> str:
    return f"{three_digits(value * 1e3)} ms"


def _microseconds(value: float) -> str:
    return f"{three_digits(value * 1e6)} µs"


def _share(value: float) -> str:
    return f"{three_digits(value * 100)}%"


def _packets(value: float) -> str:
    return f"{value:,.0f}/s"


def _count(value: float) -> str:
    return f"{value:,.0f}"


_ALL = (
    Figure("bits_per_second", "throughput", _rate, more_is_better=True),
    Figure("packets_per_second", "packets delivered", _packets, more_is_better=True),
    Figure("loss", "lost", _share),
    Figure("datagrams_at_once", "sent at once", three_digits),
    Figure("cpu_per_gigabyte", "engines' CPU a GB", _seconds),
    Figure("machine_cpu_per_gigabyte", "machine's CPU a GB", _seconds),
    Figure("cpu_per_packet", "engines' CPU a packet", _microseconds),
    Figure("system_calls_per_gigabyte", "system calls a GB", _count),
    Figure("round_trip_median", "round trip, median", _milliseconds),
    Figure("round_trip_p99", "round trip, 99%", _milliseconds),
    Figure("peak_memory", "peak memory", _bytes),
    Figure("resident_memory", "memory at rest", _bytes),
    Figure("memory_per_peer", "memory a peer", _bytes),
)
FIGURES = {figure.name: figure for figure in _ALL}
"""Every figure by its name, in the order in which reports show them."""
