"""Running the command line in a process of its own."""

import subprocess
import sys
from pathlib import Path
from typing import IO

COMMAND = (sys.executable, "-m", "wirewright")

# On x86-64 and on arm64; the first argument is the descriptor.
READ_INPUT = (("0", "0x0"), ("63", "0x0"))
READ = (("0",), ("63",))


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


def wait_until_blocked(pid: int, *calls: tuple[str, ...]) -> None:
    """Return when the process sleeps in one of these system calls (number and first arguments)."""
    blocked = False
    while not blocked:
        call = tuple(Path(f"/proc/{pid}/syscall").read_text().split())
        blocked = any(call[: len(wanted)] == wanted for wanted in calls)
