"""Debian's PostgreSQL and Redis in a host of a lab."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.nodes import until
from tests.lab.resolvers import start, unpacked

if TYPE_CHECKING:
    from wirewright.lab import Machine

PASSWORD = "correct-horse"
# PostgreSQL does not run as root. In a user namespace root is another whom the system knows, and who owns the
# same files.
NOT_ROOT = ("unshare", "--user", "--map-user=1", "--map-group=1")


def postgresql(machine: Machine, address: str, folder: Path) -> subprocess.Popen[str]:
    """Start it with a database and a user of their own."""
    files = unpacked("postgresql")
    (programs,) = files.glob("usr/lib/postgresql/*/bin")
    path = {"LD_LIBRARY_PATH": libraries(files), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    data, secret, log = folder / "data", folder / "secret", folder / "postgresql.log"
    secret.write_text(PASSWORD)
    new = (
        "-D",
        str(data),
        "-U",
        "ann",
        "-A",
        "scram-sha-256",
        f"--pwfile={secret}",
        "--no-sync",
        "-E",
        "UTF8",
    )
    machine.run(*NOT_ROOT, str(programs / "initdb"), *new, env=path)
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all ann {address}/24 scram-sha-256\n")
    settings = {
        "listen_addresses": address,
        "unix_socket_directories": "",
        "fsync": "off",
        "jit": "off",
    }
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    process = start(machine, log, *NOT_ROOT, str(programs / "postgres"), "-D", str(data), *words, env=path)
    until(lambda: "ready to accept connections" in log.read_text(), f"it serves: {log}", 50)
    return process


def redis(machine: Machine, address: str, folder: Path) -> subprocess.Popen[str]:
    """Start it; what it holds is nowhere but in its memory."""
    files = unpacked("redis-server")
    log = folder / "redis.log"
    words = ("--bind", address, "--requirepass", PASSWORD, "--save", "", "--dir", str(folder))
    program = str(files / "usr/bin/redis-server")
    process = start(machine, log, program, *words, env={"LD_LIBRARY_PATH": libraries(files)})
    until(lambda: "Ready to accept connections" in log.read_text(), f"it serves: {log}", 50)
    return process


def libraries(files: Path) -> str:
    """Where a package's own libraries lie, before those of the system."""
    found = [str(path) for path in files.glob("usr/lib/*-linux-*")]
    return ":".join([*found, *filter(None, [os.environ.get("LD_LIBRARY_PATH", "")])])
