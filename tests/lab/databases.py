"""Debian's PostgreSQL and Redis in a host of a lab, and a server of names that knows where they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.nodes import until
from tests.lab.resolvers import unpacked

if TYPE_CHECKING:
    from wirewright.lab import Machine

PASSWORD = "correct-horse"
# PostgreSQL does not run as root. In a user namespace root is another whom the system knows (daemon), and owns
# the same files.
NOT_ROOT = ("unshare", "--user", "--map-user=1", "--map-group=1")
NAMES = """
import socket, sys
import dns.message, dns.rrset
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind((sys.argv[1], 53))
    while True:
        query, source = sock.recvfrom(4096)
        asked = dns.message.from_wire(query)
        response = dns.message.make_response(asked)
        (question,) = asked.question
        known = question.name.to_text() in ("db.example.", "cache.example.", "nobody.example.")
        if known and question.rdtype == 1:
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", sys.argv[1]))
        sock.sendto(response.to_wire(), source)
"""


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


def names(machine: Machine, address: str, folder: Path) -> subprocess.Popen[str]:
    """Say where `db` and `cache` are, in the domain `example`."""
    process = start(machine, folder / "names.log", sys.executable, "-c", NAMES, address)
    bound = ("sh", "-c", f"ss -lunH src {address}:53 | grep -q .")
    until(lambda: machine.run(*bound, check=False).returncode == 0, "names are served")
    return process


def start(
    machine: Machine, log: Path, *words: str, env: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start something that goes on until the host ends."""
    with log.open("w") as writing:
        return machine.popen(*words, env=env or {}, stdout=writing, stderr=writing, text=True)


def libraries(files: Path) -> str:
    """Where a package's own libraries lie, before those of the system."""
    found = [str(path) for path in files.glob("usr/lib/*-linux-*")]
    return ":".join([*found, *filter(None, [os.environ.get("LD_LIBRARY_PATH", "")])])
