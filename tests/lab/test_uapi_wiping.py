"""No key is left in a process of ours that gave it to a system interface and was told it again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.host.test_wiping import Keeper, check
from tests.lab.nodes import OURS, cable
from tests.memory import hoarder
from wirewright.lab import Lab


def test_a_key_that_went_to_an_interface_and_came_back_is_in_its_handle_only(tmp_path: Path) -> None:
    with Lab(cable()) as lab:
        machine = lab["a"]
        machine.run(OURS, "wg0")
        before = set(machine.processes())

        def number() -> int:
            [new] = set(machine.processes()) - before
            return new

        words = [f"{name}={value}" for name, value in {**hoarder(tmp_path), "PYTHONPATH": str(ROOT)}.items()]
        with machine.popen(
            *("env", *words, sys.executable, "-m", "tests.host.keeper", "uapi_get"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                check(Keeper(process, number))
            finally:
                process.kill()
