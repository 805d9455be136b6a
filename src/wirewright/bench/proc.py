"""What the kernel tells of processes and of the whole machine in /proc, as numbers."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
"""The kernel counts processor time in these parts of a second."""


def processor_seconds(stat: str) -> float:
    """Return what a process has used, all its threads together, from its ``stat``."""
    # The name, in parentheses, may hold anything.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def machine_seconds(stat: str) -> float:
    """Return what the processors have spent on anything, since the start, from ``/proc/stat``."""
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, stat.split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / TICKS


def memory(status: str) -> "Memory":
    """Read resident memory from a process's ``status``."""
    found = {name: int(size) * 1024 for name, size in re.findall(r"^Vm(HWM|RSS):\s+(\d+) kB", status, re.M)}
    return Memory(found["RSS"], found["HWM"])


@dataclass(frozen=True)
class Memory:
    """Bytes of resident memory of a process."""

    now: int
    peak: int


def memory_of(process: int) -> Memory:
    """Read what a process has in memory."""
    return memory(Path(f"/proc/{process}/status").read_text())


def forget_peak(process: int) -> None:
    """Let a process's peak begin anew, from what it has now."""
    Path(f"/proc/{process}/clear_refs").write_text("5")


def processor_seconds_of(process: int) -> float:
    """Return what a process has used, all its threads together."""
    return processor_seconds(Path(f"/proc/{process}/stat").read_text())


def machine_seconds_now() -> float:
    """Return what the processors have spent on anything, since the start."""
    return machine_seconds(Path("/proc/stat").read_text())
