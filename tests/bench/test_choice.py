from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import pytest

from tests.cli.running import ww
from wirewright.bench import choice
from wirewright.bench.contestants import CONTESTANTS, ON_REQUEST, BareWire, Kind
from wirewright.bench.errors import BenchError
from wirewright.bench.programs import Program
from wirewright.bench.runner import schedule
from wirewright.bench.workloads import WORKLOADS
from wirewright.lab import LabError

NOT_INSTALLED = Program("no-such-engine", "build it first")


@pytest.fixture(autouse=True)
def _able_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which everything can be measured, as far as choosing goes."""
    monkeypatch.setattr(choice, "_check_machine", lambda: None)
    monkeypatch.setattr("wirewright.bench.workloads.why_no_system_calls", lambda: None)
    monkeypatch.setattr(Program, "why_absent", lambda self: None if self.name != "gotatun" else "get gotatun")


def test_whoever_is_absent_is_told_and_left_out() -> None:
    chosen = choice.choose([], [])
    assert chosen.absent == {"gotatun": "get gotatun"}
    left_out = {"gotatun", *ON_REQUEST}
    there = [name for name in CONTESTANTS if name not in left_out]
    assert [each.name for each in chosen.contestants] == there
    assert [each.name for each in chosen.workloads] == list(WORKLOADS)
    assert "not measured: get gotatun" in chosen.cautions()


def test_whoever_was_named_must_be_there() -> None:
    with pytest.raises(BenchError, match="get gotatun"):
        choice.choose(["gotatun"], [])


def test_who_takes_part_on_request_is_measured_when_named() -> None:
    assert "wirewright-2" not in [each.name for each in choice.choose([], []).contestants]
    assert [each.name for each in choice.choose(["wirewright-2"], []).contestants] == ["wirewright-2"]


def test_a_workload_that_cannot_be_measured_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wirewright.bench.workloads.why_no_system_calls", lambda: "get perf")
    assert choice.choose([], []).absent["system-calls"] == "get perf"
    with pytest.raises(BenchError, match="system-calls: get perf"):
        choice.choose([], ["system-calls"])


def test_a_name_that_is_twice_there_counts_once() -> None:
    assert len(choice.choose(["veth", "veth"], ["tcp-1"]).contestants) == 1


@pytest.mark.parametrize("option", ["--contestants", "--workloads"])
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_an_unknown_name_is_a_mistake_in_the_arguments(option: str, more: list[str]) -> None:
    done = ww("bench", option, "nobody", *more)
    assert done.returncode == 2
    assert "nobody" in done.stderr
    assert "there are:" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("option", ["--contestants", "--workloads"])
def test_a_list_that_names_nobody_is_not_taken_for_everybody(option: str) -> None:
    done = ww("bench", option, ",")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{option} names nobody: ','" in done.stderr


def test_a_debug_build_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Program, "version", lambda _: "0.1.0 (debug build)")
    assert any("debug build" in caution for caution in choice.choose(["wirewright"], []).cautions())
    monkeypatch.setattr(Program, "version", lambda _: "0.1.0")
    assert choice.choose(["wirewright"], []).cautions() == []


def test_a_program_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert NOT_INSTALLED.why_absent() == "no-such-engine is not installed: build it first"
    assert Program("sh", "").why_absent() is None


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool == "ping" else str(tmp_path / tool))
    monkeypatch.setattr(Path, "exists", lambda _: True)
    with pytest.raises(LabError, match="ping not found: apt-get install iputils-ping"):
        choice.choose([], [])


def test_without_root_nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BenchError, match="takes root"):
        choice.choose([], [])


def test_every_round_measures_everyone_under_everything_and_begins_with_another() -> None:
    contestants, workloads = list(CONTESTANTS.values())[:3], [WORKLOADS["tcp-1"], WORKLOADS["udp-64"]]
    steps = [(number, load.name, each.name) for number, load, each in schedule(contestants, workloads, 3)]
    assert len(set(steps)) == len(steps) == 18
    first = {
        number: next(name for n, load, name in steps if (n, load) == (number, "tcp-1")) for number in range(3)
    }
    assert len(set(first.values())) == 3
    # Those that are compared follow each other.
    loads = [load for _, load, _ in steps]
    assert sum(a != b for a, b in itertools.pairwise(loads)) == 5


def test_only_engines_meet_bad_weather_and_many_peers() -> None:
    everyone = list(CONTESTANTS.values())
    for name in ("rough-1", "peers-1000", "tcp-8-peers"):
        met = [each for _, _, each in schedule(everyone, [WORKLOADS[name]], 1)]
        assert {each.kind for each in met} == {Kind.ENGINE}
    assert BareWire() not in [each for _, _, each in schedule(everyone, [WORKLOADS["system-calls"]], 1)]
