"""An office behind a tunnel, and someone without privileges who runs commands in it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.lab.nodes import INNER, OUTER, Node, cable, peer_section
from wirewright.lab import Lab, Machine

USER = 65534
"""Nobody: its capabilities are none, and it owns nothing but what it is given here."""
WITHOUT_PRIVILEGES = (
    "setpriv",
    f"--reuid={USER}",
    f"--regid={USER}",
    "--clear-groups",
    "--inh-caps=-all",
    "--ambient-caps=-all",
)
WW = (sys.executable, "-m", "wirewright")
NETWORKS = ("10.7.0.0/24", "fd07::/64")


@dataclass
class Desk:
    """Where the user sits, the file of the tunnel, and the other end."""

    lab: Lab
    folder: Path
    here: Node
    """Never started: it is what the file describes."""
    there: Node
    conf: Path

    @property
    def machine(self) -> Machine:
        return self.lab["a"]

    def write(self, name: str = "office.conf", more: str = "", **peer: Any) -> Path:
        """Write the file of the tunnel, which is the user's."""
        peer = {"endpoint": OUTER[4][1], "allowed": NETWORKS} | peer
        path = self.folder / name
        path.write_text(
            f"[Interface]\nPrivateKey = {self.here.key.expose()}\n"
            f"Address = {self.here.addresses[0]}/24, {self.here.addresses[1]}/64\n"
            f"{more}{peer_section(self.there, **peer)}"
        )
        return owned(path)

    def words(self, *command: str, conf: Path | None = None) -> tuple[str, ...]:
        """Give the words of ``ww run`` as the user."""
        return (*WITHOUT_PRIVILEGES, *WW, "run", str(conf or self.conf), "--", *command)

    def run(
        self, *command: str, conf: Path | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the tunnel; the status is not looked at."""
        return self.machine.run(*self.words(*command, conf=conf), check=False, **options)

    def sh(self, script: str, **options: Any) -> str:
        """Run a script in the tunnel, all of whose commands must succeed, and give its output."""
        done = self.run("sh", "-ec", script, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command in the tunnel; its output and errors are pipes."""
        pipe = subprocess.PIPE
        settings: dict[str, Any] = {"stdin": pipe, "stdout": pipe, "stderr": pipe, "text": True, **options}
        return self.machine.popen(*self.words(*command), **settings)

    def first(self) -> int:
        """Give the process of ``ww`` itself of the one run that goes on."""
        return self._parents()[0]

    def tree(self) -> tuple[int, int, int]:
        """Give the processes of the one run that goes on: of ``ww``, of the engine and of the command."""
        ww, parents, ours = self._parents()
        (engine,) = (pid for pid in ours if parents[pid] == ww)
        (command,) = (pid for pid, parent in parents.items() if parent == ww and pid not in ours)
        return ww, engine, command

    def _parents(self) -> tuple[int, dict[int, int], set[int]]:
        """Give ``ww`` itself, the parent of each process, and which are ours; what ends is left out."""
        parents = {}
        for pid in self.machine.processes():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                parents[pid] = status(pid, "PPid")
        ours = {pid for pid in parents if is_ww(pid)}
        (ww,) = (pid for pid in ours if parents[pid] not in ours)
        return ww, parents, ours


@contextmanager
def desk(*, more: str = "", **qualities: Any) -> Iterator[Desk]:
    """Open an office in host b, and give a desk in host a."""
    # pytest's own folders are closed to others.
    with tempfile.TemporaryDirectory() as name, Lab(cable(**qualities)) as lab:
        folder = Path(name)
        folder.chmod(0o755)
        there = Node(lab["b"], INNER[1]).start()
        here = Node(lab["a"], INNER[0], "office")
        there.setconf(peer_section(here))
        give_tun(lab["a"], folder)
        open_way(lab["a"], folder, Path(sys.base_prefix).resolve(), ROOT)
        found = Desk(lab, folder, here, there, folder / "office.conf")
        found.write(more=more)
        yield found


def give_tun(machine: Machine, folder: Path, mode: str = "666") -> None:
    """Open the device to everyone, as distributions do; this machine's own may be closed."""
    device = folder / f"tun-{mode}"
    machine.run("mknod", "-m", mode, str(device), "c", "10", "200")
    machine.run("mount", "--bind", str(device), "/dev/net/tun")


def open_way(machine: Machine, folder: Path, *paths: Path) -> None:
    """Let everybody reach these paths in a host, also if they lie in a home that is closed."""
    for number, path in enumerate(paths):
        kept = folder / str(number)
        kept.mkdir()
        machine.run("mount", "--rbind", str(path), str(kept))
    for number, path in enumerate(paths):
        closed = next((each for each in reversed(path.parents) if not each.stat().st_mode & 0o001), None)
        if closed is None:
            continue
        machine.run("sh", "-c", f"mountpoint -q {closed} || mount -t tmpfs -o mode=755 tmpfs {closed}")
        machine.run("mkdir", "-p", str(path))
        machine.run("mount", "--rbind", str(folder / str(number)), str(path))


def owned(path: Path) -> Path:
    """Give a file to the user, and to nobody else."""
    path.chmod(0o600)
    os.chown(path, USER, USER)
    return path


def status(pid: int, name: str) -> int:
    """Read a number of a process's status."""
    found = re.search(rf"^{name}:\t(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found.group(1))


def state(pid: int) -> str:
    """Give the letter of a process's state: T if it is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def is_ww(pid: int) -> bool:
    """Whether a process is one of ours."""
    try:
        return b"\0-m\0wirewright\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
