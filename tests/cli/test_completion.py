"""What shells complete of `ww`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import ww
from tests.conftest import missing
from wirewright.cli.app import COMMANDS
from wirewright.cli.completing import DIRECTORY, OF_INTERFACE, OF_PEER, WHAT
from wirewright.cli.completion import SHELLS
from wirewright.tunnel.system import files
from wirewright.tunnel.system.words import DEVICE_WORDS, PEER_WORDS

PROGRAMS = Path(sys.executable).parent
ENVIRONMENT = os.environ | {"PATH": f"{PROGRAMS}:{os.environ['PATH']}"}

# What each shell says to "ww s<Tab>", after the script was loaded as its help says.
ASKED = {
    "bash": 'source ./script; COMP_WORDS=(ww s); COMP_CWORD=1; _ww_completion ww; echo "${COMPREPLY[*]}"',
    "zsh": "autoload -Uz compinit; compinit -u -D; source ./script; "
    '_arguments() { print -r -- "$@" }; words=(ww s); CURRENT=2; _ww_completion',
    "fish": "source ./script; complete --do-complete 'ww s'",
}


def complete(*words: str) -> list[str]:
    """Ask as the script for bash does."""
    environment = ENVIRONMENT | {
        "_WW_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(("ww", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(["ww"], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_commands(tmp_path: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        missing(shell, f"install {shell}")
    (tmp_path / "script").write_text(ww("completion", shell).stdout)
    done = subprocess.run(
        [shell, "-c", ASKED[shell]],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    for command in COMMANDS:
        assert (command in done.stdout) == command.startswith("s"), done.stdout + done.stderr


def test_arguments_are_completed() -> None:
    assert complete("show", "i") == ["interfaces"]
    assert complete("show", "all", "") == list(WHAT)
    assert complete("set", "wg-none", "") == list(OF_INTERFACE)
    assert complete("set", "wg-none", "peer", "x", "") == list(OF_PEER)
    assert complete("completion", "z") == ["zsh"]


def test_what_is_completed_is_what_commands_take() -> None:
    # It is written twice, so that a shell need not wait for the core.
    assert (*DEVICE_WORDS, "peer") == OF_INTERFACE
    assert (*PEER_WORDS, "peer") == OF_PEER
    assert DIRECTORY == files.DIRECTORY


@pytest.mark.parametrize("words", [("strip", "/etc/ho"), ("set", "wg-none", "private-key", "")])
def test_files_are_left_to_the_shell(words: tuple[str, ...]) -> None:
    assert complete(*words) == []


def test_an_interface_that_is_not_there_has_no_peers() -> None:
    assert complete("set", "wg-none", "peer", "") == []


def test_another_shell_is_refused() -> None:
    done = ww("completion", "csh")
    assert (done.returncode, done.stdout) == (2, "")
    assert "bash, zsh, fish" in done.stderr
