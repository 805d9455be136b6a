"""Engines as processes in hosts of the lab, with what they said when something goes wrong."""

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

from wirewright.bench.errors import BenchError
from wirewright.lab import LabError, Machine

PATIENCE = 20.0
"""Seconds until an engine must be there, or an answer from the other end."""


class Process:
    """A program that runs in a host until that is gone."""

    def __init__(self, machine: Machine, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Start it."""
        self.machine = machine
        self._name = command[0].rpartition("/")[2]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._popen = machine.popen(
            *command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            # An interrupt from the terminal is for us, who take the lab down.
            start_new_session=True,
        )

    def check(self, grace: float = 0.0) -> None:
        """Raise an error if it has ended, or does within so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self._popen.wait(grace)
            raise BenchError(f"{self._name} ended with status {status}{self._last_words()}")

    def wait_for(self, what: str, ready: Callable[[], bool]) -> None:
        """Wait until something has come about; an error if it does not, or if the process ends."""
        end = time.monotonic() + PATIENCE
        while not ready():
            self.check()
            if time.monotonic() > end:
                raise BenchError(f"{self._name}: no {what} within {PATIENCE:g} s{self._last_words()}")
            time.sleep(0.02)

    def close(self) -> None:
        """End it."""
        self._popen.kill()
        self._popen.wait()
        self._log.close()

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read()[-4000:].decode(errors="replace").split("\n")
        words = [line.strip() for line in lines if line.strip()]
        return f": {words[-1][:300]}" if words else ""


def until_answered(machine: Machine, address: str) -> None:
    """Ping until an answer comes."""
    try:
        machine.run("ping", "-n", "-q", "-c1", "-i0.2", f"-w{PATIENCE:g}", address)
    except LabError:
        raise BenchError(f"no packet got through to {address} within {PATIENCE:g} s") from None
