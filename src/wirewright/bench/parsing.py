"""What iperf3, ping and perf say, as numbers."""

import json
import re
import statistics
from dataclasses import dataclass

from wirewright.bench.errors import BenchError


@dataclass(frozen=True)
class Streams:
    """What became of TCP streams."""

    bits_per_second: float
    """What arrived, all streams together."""
    bytes: int


def streams_in(said: str) -> Streams:
    """Read what ``iperf3 --json`` says of TCP streams."""
    try:
        answer = json.loads(said)
        if "error" in answer:
            raise BenchError(f"iperf3: {answer['error']}")
        arrived = answer["end"]["sum_received"]
        streams = Streams(float(arrived["bits_per_second"]), int(arrived["bytes"]))
    except (ValueError, KeyError, TypeError):
        raise BenchError(f"iperf3 says nothing that is understood: {said.strip()[:200]!r}") from None
    if streams.bytes == 0:
        raise BenchError("iperf3: nothing arrived")
    return streams


@dataclass(frozen=True)
class RoundTrips:
    """The answers to a series of pings."""

    sent: int
    seconds: tuple[float, ...]
    """Of each answer, shortest first."""

    @property
    def loss(self) -> float:
        """The share that was not answered."""
        return 1 - len(self.seconds) / self.sent

    @property
    def median(self) -> float:
        """In seconds."""
        return statistics.median(self.seconds)

    def within(self, share: float) -> float:
        """Return the seconds within which this share of the answers came."""
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def round_trips_in(said: str) -> RoundTrips:
    """Read what ``ping`` says."""
    sent = re.search(r"^(\d+) packets transmitted", said, re.M)
    times = sorted(float(time) / 1000 for time in re.findall(r" time=([\d.]+) ms", said))
    if sent is None or not times:
        raise BenchError(f"ping: no answer: {said.strip()[-200:]!r}")
    # A packet that was answered twice has been answered.
    return RoundTrips(max(int(sent[1]), len(times)), tuple(times))


def system_calls_in(said: str) -> int:
    """Read what ``perf stat -x,`` says of its one event."""
    found = re.search(r"^(\d+),[^,\n]*,raw_syscalls:sys_enter,", said, re.M)
    if found is None:
        raise BenchError(f"perf counts no system calls: {said.strip()[-200:]!r}")
    return int(found[1])
