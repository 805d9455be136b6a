"""A PostgreSQL of the tests' own: a cluster in a folder for temporary files, on a socket in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

# Where scripts/install_lab_tools.sh lays Debian's files, and where Debian itself has them, out of the PATH.
UNPACKED = Path(__file__).parents[2] / ".cache/lab/postgresql"
PROGRAMS = "usr/lib/postgresql/*/bin/initdb"
REMEDY = "run scripts/install_lab_tools.sh, or install Debian's postgresql"
# The server refuses root. In a user namespace root is another whom the system knows, with the same files.
NOT_ROOT = ("unshare", "--user", "--map-user=1", "--map-group=1")


def programs() -> Path | None:
    """Where the newest server's programs are; None where there is none."""
    for root in (UNPACKED, Path("/")):
        if found := sorted(root.glob(PROGRAMS), key=lambda path: int(path.parts[-3]), reverse=True):
            return found[0].parent
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


class Cluster:
    """A server that can be stopped, killed and started again."""

    def __init__(self, folder: Path, bin_: Path) -> None:
        self.folder, self._bin = folder, bin_
        self._number = 0
        self._run(
            "initdb",
            "--auth=trust",
            "--username=wirewright",
            "--no-sync",
            "--encoding=UTF8",
            "-D",
            self._data,
        )

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def start(self) -> None:
        options = (
            f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c fsync=off"
            " -c max_connections=100 -c shared_buffers=16MB"
        )
        log = str(self.folder / "log")
        self._run("pg_ctl", "--wait", "--timeout=120", "-D", self._data, "-l", log, "-o", options, "start")

    def stop(self, how: str = "immediate") -> None:
        self._run("pg_ctl", "--wait", "--timeout=120", "-D", self._data, "-m", how, "stop")

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """A database as another one is, an empty one for a start; gives its address."""
        self._number += 1
        name = f"test{self._number}"
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield self._address(name)
        finally:
            with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _address(self, name: str) -> str:
        return f"postgresql://wirewright@/{name}?host={self.folder}"

    def _run(self, program: str, *arguments: str) -> None:
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}
        if self._bin.is_relative_to(UNPACKED):
            environment["LD_LIBRARY_PATH"] = ":".join(map(str, UNPACKED.glob("usr/lib/*-linux-*")))
        outcome = subprocess.run(
            [*(NOT_ROOT if os.geteuid() == 0 else ()), self._bin / program, *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=240,
            check=False,
        )
        assert outcome.returncode == 0, f"{program}: {outcome.stderr}"


@contextmanager
def cluster() -> Iterator[Cluster | None]:
    """A running cluster, removed afterwards; None where PostgreSQL is not installed."""
    bin_ = programs()
    if bin_ is None:
        yield None
        return
    # A socket's path is short, which pytest's own folders are not.
    with tempfile.TemporaryDirectory(prefix="ww-pg-", dir="/tmp") as name:
        made = Cluster(Path(name), bin_)
        made.start()
        try:
            yield made
        finally:
            made.stop()
