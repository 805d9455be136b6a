"""Running the command line in a process of its own."""

import subprocess
import sys
from pathlib import Path
from typing import IO

COMMAND = (sys.executable, "-m", "wirewright")


def ww(
    *arguments: str,
    input: str | None = None,  # noqa: A002 - as subprocess.run calls it
    stdout: int | IO[str] = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; without input, it has none."""
    stdin = subprocess.DEVNULL if input is None else None
    return subprocess.run(
        [*COMMAND, *arguments],
        input=input,
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


def wait_until_reading(pid: int) -> None:
    """Return when the process sleeps in a read of its standard input."""
    # Number 0 is read on x86-64 and 63 on arm64; its first argument is the descriptor.
    while Path(f"/proc/{pid}/syscall").read_text().split()[:2] not in (["0", "0x0"], ["63", "0x0"]):
        pass
