"""Who used the processors: times of processes and of the machine, as the kernel counts them.

What the kernel does for a packet is done on the account of whoever was running, so that a process that sends
pays for the way to the receiver's socket. "idle" is what nobody used.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


class Watch:
    """Takes the time of named processes from now on, and of the children that ended meanwhile ("client")."""

    def __init__(self, processes: Mapping[str, int]) -> None:
        """Begin."""
        self._processes = processes
        self._before = self._now()

    def seconds(self, name: str) -> float:
        """Return the seconds of a processor that a process has used since."""
        return processor_time(self._processes[name]) - self._before[name]

    def shares(self) -> dict[str, float]:
        """Return how many processors each process, anybody else and nobody has used in the mean since."""
        now = self._now()
        spent = {name: now[name] - self._before[name] for name in now}
        elapsed = spent.pop("elapsed")
        shares = {name: spent[name] for name in (*self._processes, "client")}
        named = sum(shares.values())
        shares |= {"others": max(spent["busy"] - named, 0.0), "idle": spent["idle"]}
        return {name: round(used / elapsed, 2) for name, used in shares.items()}

    def _now(self) -> dict[str, float]:
        busy, idle = machine_time()
        now = {name: processor_time(process) for name, process in self._processes.items()}
        children = os.times()
        now["client"] = children.children_user + children.children_system
        return now | {"busy": busy, "idle": idle, "elapsed": time.perf_counter()}


def processor_time(process: int) -> float:
    """Return the seconds that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def machine_time() -> tuple[float, float]:
    """Return the seconds that all processors were used, and were not."""
    # proc_stat(5): user, nice, system, idle, iowait, irq, softirq, stolen by other machines.
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / TICKS, idle / TICKS
