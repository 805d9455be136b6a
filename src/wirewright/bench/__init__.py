"""System tunnels compared: wirewright-tun beside its rivals, the bare loop and the bare wire, in the lab.

`choose` says who is measured under what, `compare` measures in rounds whose order turns, and `write` leaves
a report behind.

    report = compare(choose([], ["tcp-1"]), rounds=3, seconds=5, begin=print, tell=print)
    write(report, Path("results"))
"""

from wirewright.bench.choice import Choice, UnknownNameError, choose
from wirewright.bench.errors import BenchError
from wirewright.bench.files import place_for, write
from wirewright.bench.report import Report
from wirewright.bench.results import Row
from wirewright.bench.runner import Step, compare, schedule

__all__ = [
    "BenchError",
    "Choice",
    "Report",
    "Row",
    "Step",
    "UnknownNameError",
    "choose",
    "compare",
    "place_for",
    "schedule",
    "write",
]
