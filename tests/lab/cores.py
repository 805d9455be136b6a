"""Core files of a running process, made by a debugger or by the kernel."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.nodes import until


def by_debugger(process: int, file: Path, *, everything: bool = False) -> bytes:
    """Let a debugger write the core file that the kernel would, or one with `everything`."""
    orders = ["set auto-solib-add off", f"set dump-excluded-mappings {'on' if everything else 'off'}"]
    if everything:
        orders.append("set use-coredump-filter off")
    words = [word for order in orders for word in ("-iex", order)]
    done = subprocess.run(
        ["gdb", "-nx", "-batch", *words, "-p", str(process), "-ex", f"gcore {file}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert file.exists(), done.stderr
    return _taken(file)


def by_kernel(process: int, directory: Path) -> bytes | None:
    """Abort a process whose working directory this is, and return the core file that the kernel wrote.

    It writes none if the process forbids it, or not there: see `kernel_writes_files`.
    """
    os.kill(process, signal.SIGABRT)
    until(lambda: not Path(f"/proc/{process}").exists(), "the process has ended", 60)
    files = list(directory.glob("core*"))
    return _taken(files[0]) if files else None


def kernel_writes_files() -> bool:
    """Whether the kernel writes core files to the working directory of whoever crashes, here."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    return pattern.startswith("core")


@contextmanager
def at_rest(process: int) -> Iterator[None]:
    """Stop a process for a while, whatever it was about to do."""
    os.kill(process, signal.SIGSTOP)
    try:
        status = Path(f"/proc/{process}/status")
        until(lambda: "\nState:\tT" in status.read_text(), "the process has stopped")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)


def _taken(file: Path) -> bytes:
    """Read a file of keys and remove it."""
    try:
        content = file.read_bytes()
    finally:
        file.unlink()
    assert content.startswith(b"\x7fELF")
    return content
