"""A description of the machine and of what ran on it, without which no figure means anything."""

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from wirewright.bench.contestants import Contestant
from wirewright.bench.programs import commit, said

Description = dict[str, str]


def describe() -> Description:
    """Describe the machine as it is now."""
    described = {
        "processor": _processor(),
        "processors": str(os.cpu_count()),
        "memory": _memory(),
        "kernel": platform.release(),
        "TCP": _first_line(Path("/proc/sys/net/ipv4/tcp_congestion_control")),
        "load before": " ".join(_first_line(Path("/proc/loadavg")).split()[:3]),
        "Python": platform.python_version(),
        "iperf3": said("iperf3", "--version").partition("\n")[0].removeprefix("iperf "),
        "commit": commit(),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return {name: value for name, value in described.items() if value}


def versions(contestants: Sequence[Contestant]) -> Description:
    """Return the versions of those that have one."""
    return {each.name: version for each in contestants if (version := each.version())}


def processor_in(cpuinfo: str) -> str:
    """Read the name of the processor, if it has one."""
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.M)
    return found[1].strip() if found else platform.machine()


def _processor() -> str:
    return processor_in(Path("/proc/cpuinfo").read_text())


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"


def _first_line(path: Path) -> str:
    try:
        return path.read_text().partition("\n")[0]
    except OSError:
        return ""
