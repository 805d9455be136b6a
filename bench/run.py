"""Run the benchmarks, print their tables, and write what they measured to bench/results as JSON.

A benchmark is a program of the crate wirewright-bench (`bench/src/bin/*.rs`) or a script `bench/bench_*.py`.
Each prints one JSON object a line, with `bench` saying what it is about. `python bench/run.py aead` runs one.
Timings differ from machine to machine and from hour to hour: compare within a run.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
Row = dict[str, Any]


def main(names: list[str]) -> int:
    """Run the benchmarks called `names`, or all; fail if one of them does."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    known = benchmarks()
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.stderr.write(f"no benchmark is called {', '.join(unknown)}; there are: {', '.join(known)}\n")
        return 2
    measured: list[Row] = []
    failed = []
    for name in names or known:
        console.rule(name)
        outcome = subprocess.run(known[name], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        rows = [json.loads(line) for line in outcome.stdout.splitlines() if line.startswith("{")]
        measured += rows
        for table in tables(rows):
            console.print(table)
        if outcome.returncode != 0:
            failed.append(name)
    console.print(f"written to {write(measured).relative_to(ROOT)}", highlight=False)
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return 1 if failed else 0


def benchmarks() -> dict[str, list[str]]:
    """Return each benchmark's name and command."""
    run = ["cargo", "run", "--quiet", "--locked", "--release", "--package=wirewright-bench", "--bin"]
    programs = {path.stem: [*run, path.stem] for path in sorted((ROOT / "bench/src/bin").glob("*.rs"))}
    scripts = {
        path.stem.removeprefix("bench_"): [sys.executable, str(path)]
        for path in sorted((ROOT / "bench").glob("bench_*.py"))
    }
    return programs | scripts


def tables(rows: list[Row]) -> Iterator[Table]:
    """Yield one table for each kind of row, in the order in which they first came."""
    kinds: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        kinds.setdefault((str(row.get("bench")), *row), []).append(row)
    for (title, *columns), members in kinds.items():
        shown = [column for column in columns if column != "bench"]
        table = Table(title=title, title_justify="left")
        for column in shown:
            numeric = all(isinstance(row[column], int | float) for row in members)
            table.add_column(column.replace("_", " "), justify="right" if numeric else "left")
        for row in members:
            table.add_row(*(cell(row[column]) for column in shown))
        yield table


def cell(value: object) -> str:
    """Return a value as a table shows it."""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def write(rows: list[Row]) -> Path:
    """Store what was measured, with the machine that it was measured on."""
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    record = {"when": now.isoformat(timespec="seconds"), "machine": machine(), "measured": rows}
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def machine() -> Row:
    """Describe what the figures depend on."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [
        line.partition(":")[2].strip()
        for line in (cpuinfo.read_text().splitlines() if cpuinfo.exists() else [])
        if line.startswith("model name")
    ]
    return {
        "processor": models[0] if models else platform.processor(),
        "processors": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "rustc": said("rustc", "--version"),
        "commit": said("git", "describe", "--always", "--dirty"),
    }


def said(*command: str) -> str:
    """Return what a command prints, or nothing if it cannot."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
