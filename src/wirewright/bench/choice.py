"""Which contestants and workloads a run is made of, and what it cannot have."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from wirewright.bench.contestants import CONTESTANTS, ON_REQUEST, Contestant
from wirewright.bench.errors import BenchError
from wirewright.bench.workloads import WORKLOADS, Workload
from wirewright.lab.machine import need

TOOLS = ("iperf3", "ping", "wg")
"""What measurements call, besides what a lab does."""

DEBUG = "debug build"
"""What wirewright-tun says of itself then."""

T = TypeVar("T")


class UnknownNameError(BenchError):
    """A contestant or workload was asked for that there is not."""


@dataclass
class Choice:
    """Who is measured, under what."""

    contestants: list[Contestant]
    workloads: list[Workload]
    absent: dict[str, str] = field(default_factory=dict)
    """What could not be had, and why."""

    def cautions(self) -> list[str]:
        """Say what should be known before anything is measured."""
        said = [f"not measured: {why}" for why in self.absent.values()]
        if any(DEBUG in contestant.version() for contestant in self.contestants):
            said.append(
                "wirewright is a debug build, whose figures mean nothing: make bench-linux builds another"
            )
        return said


def choose(contestants: Sequence[str], workloads: Sequence[str]) -> Choice:
    """Choose those that were named, or all that can be had if none was, but for those who must be named.

    Whoever was named must be there. Names are looked at first, then the machine.
    """
    chosen = Choice(_named("contestant", contestants, CONTESTANTS), _named("workload", workloads, WORKLOADS))
    if not contestants:
        chosen.contestants = [each for each in chosen.contestants if each.name not in ON_REQUEST]
    _check_machine()
    for contestant in list(chosen.contestants):
        if why := contestant.why_absent():
            if contestants:
                raise BenchError(why)
            chosen.absent[contestant.name] = why
            chosen.contestants.remove(contestant)
    for workload in list(chosen.workloads):
        if why := workload.why_not():
            if workloads:
                raise BenchError(f"{workload.name}: {why}")
            chosen.absent[workload.name] = why
            chosen.workloads.remove(workload)
    return chosen


def _named(kind: str, names: Sequence[str], known: Mapping[str, T]) -> list[T]:
    if unknown := [name for name in names if name not in known]:
        raise UnknownNameError(f"no {kind} is called {', '.join(unknown)}; there are: {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)] if names else list(known.values())


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise BenchError("this takes root: it makes network namespaces and interfaces")
    if not Path("/dev/net/tun").exists():
        raise BenchError("there is no /dev/net/tun: load the module (modprobe tun)")
    need(*TOOLS)
