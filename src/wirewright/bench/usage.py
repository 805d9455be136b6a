"""What a measurement costs: processor time, memory and system calls of the engines."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from wirewright.bench import proc
from wirewright.bench.errors import BenchError
from wirewright.bench.parsing import system_calls_in

EVENT = "raw_syscalls:sys_enter"
TRACING = Path("/sys/kernel/tracing")
PATIENCE = 20.0


class Meter:
    """Meters some processes for as long as its block lasts; what they used is known after it."""

    def __init__(self, processes: Sequence[int]) -> None:
        """Prepare to meter these."""
        self.processes = tuple(processes)
        self.seconds = 0.0
        """Processor time of these."""
        self.machine_seconds = 0.0
        """Processor time of everything on the machine."""
        self.peak_memory = 0
        """Bytes: of the one that had most in memory."""

    def __enter__(self) -> Self:
        """Begin."""
        for process in self.processes:
            proc.forget_peak(process)
        self._began = self._read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; after an error nothing is read, for a process may be gone."""
        if kind is not None:
            return
        ended = self._read()
        self.seconds, self.machine_seconds = (b - a for a, b in zip(self._began, ended, strict=True))
        self.peak_memory = max((proc.memory_of(process).peak for process in self.processes), default=0)

    def _read(self) -> tuple[float, float]:
        return sum(map(proc.processor_seconds_of, self.processes)), proc.machine_seconds_now()


@dataclass
class SystemCalls:
    """How many system calls some processes made."""

    count: int = 0


def why_no_system_calls() -> str | None:
    """Say why system calls cannot be counted here, or nothing if they can."""
    if shutil.which("perf") is None:
        return "perf is not installed: apt-get install linux-perf"
    if not (TRACING / "events").is_dir():
        mount = ["mount", "-t", "tracefs", "tracefs", str(TRACING)]
        with contextlib.suppress(OSError):
            subprocess.run(mount, capture_output=True, check=False)  # noqa: S603
    if not (TRACING / "events" / "raw_syscalls").is_dir():
        return f"the kernel offers no {EVENT} in {TRACING}: it needs tracefs and CONFIG_FTRACE_SYSCALLS"
    return None


@contextlib.contextmanager
def system_calls(processes: Sequence[int]) -> Iterator[SystemCalls]:
    """Count the system calls of processes while a block lasts.

    Counting slows each call down, so nothing else should be measured meanwhile.
    """
    if why := why_no_system_calls():
        raise BenchError(why)
    counted = SystemCalls()
    asking, ask = os.pipe()
    hearing, answer = os.pipe()
    with tempfile.NamedTemporaryFile("r") as said:
        which = ",".join(map(str, processes))
        # It begins when it is told to, and says when it has.
        control = ["--delay=-1", f"--control=fd:{asking},{answer}"]
        command = ["perf", "stat", "-x,", "-e", EVENT, *control, "-p", which, "-o", said.name]
        perf = subprocess.Popen(  # noqa: S603
            command,
            pass_fds=(asking, answer),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            os.close(asking)
            os.close(answer)
            with contextlib.suppress(BrokenPipeError):
                os.write(ask, b"enable\n")
            if not os.read(hearing, 16).startswith(b"ack"):
                raise BenchError(f"perf does not count: {perf.communicate(timeout=PATIENCE)[1].strip()}")
            yield counted
            perf.send_signal(signal.SIGINT)
            perf.communicate(timeout=PATIENCE)
            counted.count = system_calls_in(said.read())
        finally:
            os.close(ask)
            os.close(hearing)
            perf.kill()
            perf.communicate()
