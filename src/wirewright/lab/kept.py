"""Labs that stay up: each has a keeper, a process in the background, and a file that names its hosts.

The keeper locks the file for as long as the lab is there, so that what a keeper left behind is not taken for
a lab.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wirewright.lab.errors import LabError
from wirewright.lab.files import read_topology
from wirewright.lab.lab import Lab

DIRECTORY = Path("/run/wirewright/lab")
PATIENCE = 30.0
"""Seconds that a keeper may take to end."""


@dataclass(frozen=True)
class Kept:
    """A lab that is up."""

    name: str
    topology: Path
    keeper: int
    hosts: dict[str, int]
    """The holder of each host."""

    def down(self) -> None:
        """Take it down, and wait until it is."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.keeper, signal.SIGTERM)
        end = time.monotonic() + PATIENCE
        while find(self.name) is not None:
            if time.monotonic() > end:
                raise LabError(f"{self.name}: its keeper, process {self.keeper}, does not end")
            time.sleep(0.05)


def up(topology: Path) -> Kept:
    """Build a lab that stays until it is taken down; it is named as the file is."""
    if os.geteuid() != 0:
        raise LabError("a lab takes root")
    keeper = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "wirewright.lab.kept", str(topology.absolute())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert keeper.stdout is not None
    said = keeper.stdout.read()
    kept = find(topology.stem) if said == "up" else None
    if kept is None:
        raise LabError(said or f"{topology}: the lab does not come up")
    # It goes on without us.
    keeper.returncode = 0
    return kept


def find(name: str) -> Kept | None:
    """Return the lab of this name, if it is up."""
    return next((kept for kept in all_kept() if kept.name == name), None)


def all_kept() -> Iterator[Kept]:
    """Iterate over the labs that are up; what others left behind is removed."""
    for path in sorted(DIRECTORY.glob("*.json")):
        with contextlib.suppress(FileNotFoundError), path.open() as file:
            if _lock(file.fileno()):
                path.unlink(missing_ok=True)
            elif text := file.read():
                data = json.loads(text)
                yield Kept(path.stem, Path(data["topology"]), data["keeper"], data["hosts"])


def keep(topology: Path) -> None:
    """Build a lab, say ``up``, and keep it until a signal comes."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    path = DIRECTORY / f"{topology.stem}.json"
    with path.open("a") as file:
        if not _lock(file.fileno()):
            raise LabError(f"{topology.stem} is up already: ww lab down {topology.stem}")
        with Lab(read_topology(topology)) as lab:
            hosts = {name: machine.holder for name, machine in lab.machines.items()}
            file.truncate(0)
            json.dump({"topology": str(topology), "keeper": os.getpid(), "hosts": hosts}, file)
            file.flush()
            ends = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
            signal.pthread_sigmask(signal.SIG_BLOCK, ends)
            sys.stdout.write("up")
            sys.stdout.flush()
            _let_go_of_output()
            signal.sigwait(ends)
        path.unlink(missing_ok=True)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _let_go_of_output() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def main() -> int:
    """Keep the lab of the file that the arguments name; what goes wrong is said on the standard output."""
    try:
        keep(Path(sys.argv[1]))
    except OSError as error:
        sys.stdout.write(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return 1
    except (LabError, ValueError) as error:
        sys.stdout.write(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
