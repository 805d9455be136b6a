"""`ww serve` with its page and a rootless gateway, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.running import COMMAND


@dataclass(frozen=True)
class Served:
    """Where it is, and the link of its first start."""

    url: str
    setup: str
    state: Path
    endpoint: str


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Served]:
    """Run it while the block does; it must end well when it is asked to."""
    state, port = folder / "state", free_port()
    gateway = ("--engine", "rootless", "--listen-port", str(port), "--endpoint", f"127.0.0.1:{port}")
    process = subprocess.Popen(
        [*COMMAND, "serve", "--listen", "0", *gateway, *arguments, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"WIREWRIGHT_STATE": str(state)},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            pytest.fail(process.communicate()[1])
        said = json.loads(line)
        yield Served(said["url"], said["setup"], state, f"127.0.0.1:{port}")
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, ""), (process.returncode, errors)


def free_port() -> int:
    """Return a UDP port that nobody has now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
