"""A coordinator with its gateway in a host of a lab, which does what a test asks of its API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conftest import ROOT
from wirewright.keys import PublicKey

if TYPE_CHECKING:
    from wirewright.lab import Machine

PATIENCE = 60


@dataclass(frozen=True)
class Answer:
    """What the API said, and when that was there, by the monotonic clock of all hosts."""

    status: int
    kind: str
    text: str
    moment: float

    @property
    def body(self) -> Any:
        return json.loads(self.text)


class Embedded:
    """The process, as often as it is started. Without a way there is no gateway in it."""

    def __init__(self, machine: Machine, folder: Path, way: str = "none") -> None:
        self._words = (sys.executable, "-m", "tests.lab.embedded_process", way, str(folder))
        self.machine = machine
        self.start()

    def start(self) -> None:
        pipe = subprocess.PIPE
        path = f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"
        self.process = self.machine.popen(
            *self._words, env={"PYTHONPATH": path}, stdin=pipe, stdout=pipe, text=True
        )
        self.public_key = PublicKey.from_base64(self._said())

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        """Have the API asked."""
        assert self.process.stdin is not None
        print(json.dumps([method, path, body]), file=self.process.stdin, flush=True)
        return Answer(*self._said())

    def crash(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)

    def end(self) -> None:
        """Have it end by itself."""
        self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0

    def _said(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "it ended"
        return json.loads(line)
