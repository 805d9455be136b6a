"""A host of a lab: namespaces that one process holds, and commands that run in them.

The holder is the first process of a PID namespace. When it ends, the kernel ends every other process in
there, and with the last of them the network and the mounts are gone. It ends when its standard input does,
which is a pipe from the lab's maker: so nothing of a lab outlives its maker, whatever kills that.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from wirewright.lab.errors import LabError, RunError

TOOLS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
    "env": "coreutils",
    "cat": "coreutils",
    "sysctl": "procps",
    "ip": "iproute2",
}
"""What every lab calls, and the Debian package each is in."""

SOCKETS = Path("/run/wireguard")
PATIENCE = 60.0
"""Seconds that a command may take unless told otherwise."""


def need(*tools: str) -> None:
    """Raise an error for people if one of these tools is not installed."""
    others = {"nft": "nftables", "tc": "iproute2", "ping": "iputils-ping", "wg": "wireguard-tools"}
    packages = TOOLS | others
    absent = [tool for tool in tools if shutil.which(tool) is None]
    if absent:
        install = " ".join(sorted({packages.get(tool, tool) for tool in absent}))
        raise LabError(f"{', '.join(absent)} not found: apt-get install {install}")


class Machine:
    """A host. Everything that runs in it ends with it."""

    def __init__(self, name: str) -> None:
        """Start it, without any interface but loopback."""
        self.name = name
        self._started: list[subprocess.Popen[Any]] = []
        # A process that ends in there is reaped by nobody: the kernel does it if SIGCHLD is ignored.
        holder = ["env", "--ignore-signal=CHLD", "cat"]
        namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._holder = subprocess.Popen(  # noqa: S603
            ["unshare", *namespaces, "--", *holder],  # noqa: S607
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # An interrupt from the terminal is for the maker, which has yet to take the lab down.
            start_new_session=True,
        )
        try:
            self._wait_for_holder()
            SOCKETS.mkdir(parents=True, exist_ok=True)
            self.run("mount", "-t", "tmpfs", "tmpfs", str(SOCKETS))
            self.run("mount", "-t", "sysfs", "sysfs", "/sys")
        except BaseException:
            self.close()
            raise

    def _wait_for_holder(self) -> None:
        sending, answers, errors = self._pipes()
        with contextlib.suppress(BrokenPipeError):
            sending.write(b".")
            sending.flush()
        if answers.read(1) != b".":
            why = errors.read().decode(errors="replace").strip()
            raise LabError(f"{self.name}: cannot make namespaces (it takes root): {why}")

    def _pipes(self) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
        sending, answers, errors = self._holder.stdin, self._holder.stdout, self._holder.stderr
        assert sending is not None
        assert answers is not None
        assert errors is not None
        return sending, answers, errors

    def close(self) -> None:
        """End it and all that runs in it; again has no effect."""
        for pipe in self._pipes():
            with contextlib.suppress(OSError):
                pipe.close()
        # Not only by the end of its input: another child of ours may have inherited the pipe.
        self._holder.kill()
        self._holder.wait()
        # Whoever started them may have failed before their end.
        while self._started:
            _end(self._started.pop())

    @property
    def holder(self) -> int:
        """The process by whose namespaces it can be entered."""
        return self._holder.pid

    # Commands.

    def run(
        self,
        *command: str,
        check: bool = True,
        input: str | None = None,  # noqa: A002 - as subprocess has it
        timeout: float = PATIENCE,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, in the directory /; `RunError` if it fails or takes too long.

        ``env`` is added to the environment.
        """
        try:
            process = subprocess.run(  # noqa: S603
                entering(self.holder, command),
                input=input,
                stdin=subprocess.DEVNULL if input is None else None,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                env={**os.environ, **(env or {})},
                check=False,
            )
        except subprocess.TimeoutExpired as expired:
            raise RunError(
                self.name, command, f"not done after {timeout:g} s", _text(expired.stderr)
            ) from None
        if check and process.returncode != 0:
            raise RunError(
                self.name, command, f"exit status {process.returncode}", process.stderr + process.stdout
            )
        return process

    def popen(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        **options: Any,  # noqa: ANN401 - passed on
    ) -> "subprocess.Popen[Any]":
        """Start a command; the options are those of `subprocess.Popen`.

        A signal that is sent to it kills it. For another signal, find it among `processes`. When the host is
        closed, it is ended and its pipes are closed.
        """
        environment = {**os.environ, **(env or {})}
        process = subprocess.Popen(entering(self.holder, command), env=environment, **options)  # noqa: S603
        self._started = [*(each for each in self._started if not _is_over(each)), process]
        return process

    def python(
        self,
        source: str,
        *arguments: str,
        **options: Any,  # noqa: ANN401 - passed on
    ) -> subprocess.CompletedProcess[str]:
        """Run Python source with this interpreter.

        The arguments are in ``sys.argv[1:]``, the options are those of `run`.
        """
        return self.run(sys.executable, "-c", source, *arguments, **options)

    # Processes.

    def processes(self, name: str | None = None) -> list[int]:
        """Return the processes that run in it, by the numbers that they have outside, but for its holder."""
        own = _namespace(Path(f"/proc/{self.holder}/ns/pid_for_children"))
        found = []
        for process in Path("/proc").iterdir():
            if not process.name.isdecimal() or _namespace(process / "ns" / "pid") != own:
                continue
            with contextlib.suppress(OSError):
                is_first = (
                    process.joinpath("status")
                    .read_text()
                    .partition("NSpid:")[2]
                    .split("\n")[0]
                    .endswith("\t1")
                )
                if not is_first and name in (None, process.joinpath("comm").read_text().strip()):
                    found.append(int(process.name))
        return sorted(found)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to the processes of this name; return to how many."""
        processes = self.processes(name)
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)
        return len(processes)


def entering(holder: int, command: tuple[str, ...] | list[str]) -> list[str]:
    """Return the command that runs `command` in the namespaces of a host's holder."""
    spaces = f"/proc/{holder}/ns"
    enter = [
        "nsenter",
        f"--net={spaces}/net",
        f"--mount={spaces}/mnt",
        f"--pid={spaces}/pid_for_children",
        "--",
    ]
    # Between us and the command stands nsenter: when that is killed, the command must not go on.
    return [*enter, "setpriv", "--pdeathsig", "KILL", *command]


def _end(process: "subprocess.Popen[Any]") -> None:
    process.kill()
    process.wait()
    for pipe in _pipes(process):
        # What was written and not flushed goes to nobody.
        with contextlib.suppress(OSError):
            pipe.close()


def _is_over(process: "subprocess.Popen[Any]") -> bool:
    return process.returncode is not None and all(pipe.closed for pipe in _pipes(process))


def _pipes(process: "subprocess.Popen[Any]") -> list[IO[Any]]:
    return [pipe for pipe in (process.stdin, process.stdout, process.stderr) if pipe is not None]


def _namespace(link: Path) -> str | None:
    try:
        return str(link.readlink())
    except OSError:
        return None


def _text(output: str | bytes | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""
