"""`ww bench`, for real and very small."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.interop.relay import until
from wirewright.bench import workloads
from wirewright.bench.contestants import CONTESTANTS, Engine
from wirewright.bench.errors import BenchError
from wirewright.bench.figures import FIGURES
from wirewright.bench.loads import run_stream_each
from wirewright.bench.programs import Program
from wirewright.bench.runner import measure
from wirewright.bench.workloads import WORKLOADS, Tcp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wirewright.bench.arena import Arena
    from wirewright.bench.parsing import Streams

COMMAND = [sys.executable, "-m", "wirewright", "bench"]
OF_STREAMS = {"bits_per_second", "cpu_per_gigabyte", "machine_cpu_per_gigabyte", "peak_memory"}


@pytest.mark.timeout(180)
def test_a_round_of_two_leaves_data_a_page_and_a_picture(tmp_path: Path) -> None:
    arguments = ["--rounds", "1", "--seconds", "1", "--contestants", "wirewright,veth"]
    arguments += ["--workloads", "tcp-1,udp-64-paced", "--output", str(tmp_path / "out")]
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count("throughput") == 2
    assert "single-stream TCP" in done.stdout
    data = json.loads((tmp_path / "out" / "results.json").read_text())
    figures = {(row["workload"], row["contestant"]): row["figures"] for row in data["rows"]}
    assert len(figures) == 4
    stream = figures["tcp-1", "wirewright"]
    assert min(stream[name] for name in ("bits_per_second", "cpu_per_gigabyte", "peak_memory")) > 0
    assert figures["tcp-1", "veth"]["bits_per_second"] > stream["bits_per_second"]
    assert figures["udp-64-paced", "wirewright"]["packets_per_second"] > 0
    assert "## tcp-1" in (tmp_path / "out" / "report.md").read_text()
    assert (tmp_path / "out" / "report.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("system-calls", {"system_calls_per_gigabyte"}),
        ("ping-loaded", {"round_trip_median", "round_trip_p99", "loss"}),
        ("peers-1000", OF_STREAMS | {"resident_memory", "memory_per_peer"}),
        ("rough-8", OF_STREAMS),
        (
            "udp-64-single",
            {"packets_per_second", "loss", "datagrams_at_once", "cpu_per_packet", "peak_memory"},
        ),
    ],
)
@pytest.mark.timeout(120)
def test_a_workload_gives_every_figure(name: str, figures: set[str]) -> None:
    workload = WORKLOADS[name]
    if why := workload.why_not():
        pytest.skip(why)
    row = measure((0, workload, CONTESTANTS["wirewright"]), 1)
    assert row.failure is None
    assert {workload.main} <= figures <= {*FIGURES}
    assert {*row.figures} == figures
    assert min(value for figure, value in row.figures.items() if figure != "loss") > 0
    if "memory_per_peer" in figures:
        # No peer fits fewer bytes than its keys and its tables.
        assert row.figures["memory_per_peer"] > 256


@pytest.mark.parametrize("name", ["wirewright", "wirewright-2", "boringtun"])
@pytest.mark.timeout(120)
def test_every_one_of_many_busy_peers_gets_a_stream(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if why := CONTESTANTS[name].why_absent():
        pytest.skip(why)
    seen: list[tuple[int, dict[str, int]]] = []
    run = run_stream_each

    def watched(arena: Arena, addresses: Sequence[str], seconds: float) -> Streams:
        streams = run(arena, addresses, seconds)
        said = arena.a.run("wg", "show", "wg0", "transfer").stdout
        sent = {line.split()[0]: int(line.split()[2]) for line in said.splitlines()}
        seen.append((len(arena.engines), sent))
        return streams

    monkeypatch.setattr(workloads, "run_stream_each", watched)
    row = measure((0, WORKLOADS["tcp-8-peers"], CONTESTANTS[name]), 1)
    assert row.failure is None
    assert row.figures["bits_per_second"] > 0
    [(engines, sent)] = seen
    # One at the hub, and one of each peer.
    assert (engines, len(sent)) == (9, 8)
    assert min(sent.values()) > 100_000


def test_an_engine_that_does_not_start_is_a_failure_with_its_last_words() -> None:
    broken = Engine("broken", "", Program("sh", ""), ("-c", "echo no such luck >&2; exit 3"))
    row = measure((0, WORKLOADS["tcp-1"], broken), 1)
    assert row.failure == "sh ended with status 3: no such luck"


def test_an_engine_that_dies_under_load_is_a_failure_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(_: object, arena: Arena, __: float) -> dict[str, float]:
        os.kill(arena.engines[1], signal.SIGKILL)
        raise BenchError("nothing arrived")

    monkeypatch.setattr(Tcp, "measure", die)
    row = measure((0, WORKLOADS["tcp-1"], CONTESTANTS["wirewright"]), 1)
    assert row.failure is not None
    assert row.failure.startswith("wirewright-tun ended with status")


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    arguments = ["--contestants", "wirewright", "--workloads", "tcp-1", "--seconds", "50"]
    # Whoever runs tests in the background may have them ignore interrupts.
    command = ["env", "--default-signal=INT", *COMMAND, *arguments, "--output", str(tmp_path / "out")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, process_group=0) as bench:
        try:
            until(lambda: len(engines_below(bench.pid)) == 2, "two engines at work", seconds=40)
            engines = engines_below(bench.pid)
            os.killpg(bench.pid, signal.SIGINT)
            _, said = bench.communicate(timeout=40)
        finally:
            bench.kill()
    assert bench.returncode == 130
    assert b"Traceback" not in said
    assert list(tmp_path.iterdir()) == []
    until(lambda: not any(Path(f"/proc/{engine}").exists() for engine in engines), "their end", seconds=20)


def engines_below(process: int) -> list[int]:
    """The engines among the descendants of a process."""
    children = [
        int(child)
        for task in Path(f"/proc/{process}/task").glob("*/children")
        for child in task.read_text().split()
    ]
    found = [child for child in children if name_of(child) == "wirewright-tun"]
    return found + [engine for child in children for engine in engines_below(child)]


def name_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return ""
