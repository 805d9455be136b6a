"""Where a contestant is measured: two hosts of a lab, fresh for each measurement."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from wirewright.bench.contestants import OUTER, Connection, Contestant
from wirewright.bench.errors import BenchError
from wirewright.bench.processes import until_answered
from wirewright.lab import Lab, LabError, Link, Machine, Topology, Weather, at


@dataclass
class Arena:
    """Host a and host b, which reach each other through the contestant."""

    a: Machine
    b: Machine
    connection: Connection
    engines: tuple[int, ...]
    """The processes that carry the packets, as they are numbered outside of the lab."""

    @property
    def address(self) -> str:
        """By which a reaches b."""
        return self.connection.addresses[1]

    @property
    def interface(self) -> str:
        """By which a sends to b."""
        return self.connection.interfaces[0]

    def passed(self) -> int:
        """Return how many bytes a has sent to b."""
        counter = f"/sys/class/net/{self.interface}/statistics/tx_bytes"
        return int(self.a.run("cat", counter).stdout)


def running(hosts: Sequence[Machine]) -> tuple[int, ...]:
    """Return the processes of hosts in which nothing runs but engines."""
    return tuple(process for host in hosts for process in host.processes())


@contextmanager
def open_arena(contestant: Contestant, weather: Weather | None = None) -> Iterator[Arena]:
    """Build it; the handshake is done when the block begins."""
    left, right = (at(name, f"{address}/24") for name, address in zip("ab", OUTER, strict=True))
    with Lab(Topology((Link(left, right, weather=weather),))) as lab:
        hosts = (lab["a"], lab["b"])
        with contestant.connect(hosts) as connection:
            until_answered(lab["a"], connection.addresses[1])
            try:
                yield Arena(lab["a"], lab["b"], connection, running(hosts))
            except (BenchError, LabError, OSError):
                # That a process has ended explains everything else.
                connection.check(grace=0.5)
                raise
            connection.check()
