"""`ww up` and `ww down` that are interrupted, as processes: what is left, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.nodes import OUTER, Node, cable, peer_section, until
from tests.lab.rollback import LOOK
from tests.lab.test_up import file_for
from wirewright.lab import Lab, Machine

WW = str(Path(sys.executable).with_name("ww"))


def look(machine: Machine) -> list[str]:
    """Tell everything that an interface may change."""
    said = machine.run("sh", "-c", LOOK, check=False).stdout
    return sorted(line for line in said.splitlines() if "fe80" not in line and "multicast" not in line)


def start(machine: Machine, *words: str) -> subprocess.Popen[str]:
    return machine.popen(WW, *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def waiting(folder: Path) -> str:
    """Give a hook that says that it runs, and goes on when the file `go` has a line."""
    os.mkfifo(folder / "go")
    return f"touch {folder}/runs; read line < {folder}/go"


def signal_while(
    process: subprocess.Popen[str], machine: Machine, folder: Path, number: signal.Signals, *, to_all: bool
) -> str:
    """Send a signal while the hook waits: to the command, or, as a terminal does, to what it runs, too."""
    until((folder / "runs").exists, "the hook runs")
    names = ["ww", "bash"] if to_all else ["ww"]
    assert [machine.kill(name, number) for name in names] == [1] * len(names)
    if not to_all:
        (folder / "go").write_text("on\n")
    said, errors = process.communicate(timeout=40)
    assert said == ""
    assert "Traceback" not in errors
    return errors.splitlines()[-1]


@pytest.mark.parametrize("to_all", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_hook_waits_undoes_all(tmp_path: Path, number: signal.Signals, to_all: bool) -> None:
    with Lab(cable()) as lab:
        a, peer = Node(lab["a"]), Node(lab["b"])
        text = peer_section(peer, endpoint=OUTER[4][1], allowed=("0.0.0.0/0", "::/0"))
        file = file_for(a, tmp_path, text, more=f"PostUp = {waiting(tmp_path)}")
        before = look(lab["a"])
        process = start(lab["a"], "up", str(file), "--engine", "wirewright")
        last = signal_while(process, lab["a"], tmp_path, number, to_all=to_all)
        assert last == "ww: interrupted; everything was undone"
        assert process.returncode == 128 + number
        assert look(lab["a"]) == before
        assert a.is_gone()


def test_an_interrupt_before_the_interface_is_there_leaves_the_host_as_it_was(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        file = file_for(Node(lab["a"]), tmp_path, more=f"PreUp = {waiting(tmp_path)}")
        before = look(lab["a"])
        process = start(lab["a"], "up", str(file), "--engine", "wirewright")
        last = signal_while(process, lab["a"], tmp_path, signal.SIGINT, to_all=False)
        assert (process.returncode, last) == (130, "ww: interrupted; everything was undone")
        assert look(lab["a"]) == before


def test_an_interrupt_while_a_name_is_looked_up_leaves_the_host_as_it_was(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a, peer = Node(lab["a"]), Node(lab["b"])
        # A server that never answers; the C library waits for it for a minute, which nobody else has to.
        silent = tmp_path / "resolv.conf"
        silent.write_text("nameserver 192.0.2.2\noptions timeout:30 attempts:2\n")
        lab["b"].run("nft", "add table inet t; add chain inet t c { type filter hook input priority 0; }")
        lab["b"].run("nft", "add rule inet t c udp dport 53 drop")
        lab["a"].run("mount", "--bind", str(silent), "/etc/resolv.conf")
        file = file_for(a, tmp_path, peer_section(peer, endpoint="office.example", allowed=("0.0.0.0/0",)))
        before = look(lab["a"])
        process = start(lab["a"], "up", str(file), "--engine", "wirewright")
        until(lambda: ":53" in lab["a"].run("ss", "-unH").stdout, "it asks for the name")
        assert lab["a"].kill("ww", signal.SIGINT) == 1
        said, errors = process.communicate(timeout=20)
        assert (process.returncode, said) == (130, "")
        assert "Traceback" not in errors
        assert look(lab["a"]) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_down_that_is_interrupted_takes_all_down_and_says_so(tmp_path: Path, number: signal.Signals) -> None:
    with Lab(cable()) as lab:
        a, peer = Node(lab["a"]), Node(lab["b"])
        text = peer_section(peer, endpoint=OUTER[4][1], allowed=("0.0.0.0/0", "::/0"))
        file = file_for(a, tmp_path, text, more=f"PreDown = {waiting(tmp_path)}")
        before = look(lab["a"])
        lab["a"].run(WW, "up", str(file), "--engine", "wirewright")
        assert look(lab["a"]) != before
        process = start(lab["a"], "down", str(file))
        last = signal_while(process, lab["a"], tmp_path, number, to_all=False)
        assert last == "ww: interrupted; wg0 was taken down all the same"
        assert process.returncode == 128 + number
        assert look(lab["a"]) == before
        assert a.is_gone()


def test_down_whose_hook_is_interrupted_with_it_tells_both(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        a = Node(lab["a"])
        file = file_for(a, tmp_path, more=f"PreDown = {waiting(tmp_path)}")
        lab["a"].run(WW, "up", str(file), "--engine", "wirewright")
        process = start(lab["a"], "down", str(file))
        last = signal_while(process, lab["a"], tmp_path, signal.SIGINT, to_all=True)
        assert last.startswith("ww: interrupted; wg0 was taken down all the same, but: ")
        assert last.endswith("the hook failed, ended by signal 2")
        assert process.returncode == 130
        assert a.is_gone()
