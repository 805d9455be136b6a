"""What is left of keys in memory after they went to an engine and back: nothing outside their handles."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.memory import found, hoarder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc to look at memory through")

NAMES = ("private key", "preshared key", "half the private key", "half the preshared key")
IN_HANDLES = {name: {"raw"} for name in NAMES}


class Keeper:
    """The process of `keeper.py`, seen from outside."""

    def __init__(self, process: subprocess.Popen[str], number: Callable[[], int]) -> None:
        assert process.stdin
        assert process.stdout
        self._number, self._input, self._output = number, process.stdin, process.stdout
        private, preshared = (base64.b64decode(self._output.readline()) for _ in range(2))
        assert self._output.readline() == "told\n"
        # Of a key that the end of a read cuts off, half may be copied.
        self.secrets = {
            "private key": private,
            "preshared key": preshared,
            "half the private key": private[:16],
            "half the preshared key": preshared[:16],
        }

    def go_on(self) -> str:
        self._input.write("\n")
        self._input.flush()
        return self._output.readline().strip()

    def holds(self) -> dict[str, set[str]]:
        return found(self._number(), self.secrets)


def check(keeper: Keeper) -> None:
    """Let it do its step, and look before, after, and when it dropped its keys."""
    assert keeper.holds() == IN_HANDLES
    assert keeper.go_on() == "done"
    assert keeper.holds() == IN_HANDLES
    assert keeper.go_on() == "dropped"
    assert keeper.holds() == {}


@contextmanager
def started(environment: dict[str, str], *arguments: str) -> Iterator[Keeper]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.host.keeper", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Keeper(process, lambda: process.pid)
        finally:
            process.kill()


@pytest.mark.parametrize("step", ["kernel_get", "kernel_get_broken", "kernel_set", "kernel_set_refused"])
def test_the_kernel_s_messages_leave_no_key(step: str, tmp_path: Path) -> None:
    with started(hoarder(tmp_path), step) as keeper:
        check(keeper)


def test_the_uapi_text_leaves_no_key(tmp_path: Path) -> None:
    with serving(tmp_path / "wg0.sock"), started(hoarder(tmp_path), "uapi_get", str(tmp_path)) as keeper:
        check(keeper)


@contextmanager
def serving(path: Path) -> Iterator[None]:
    """Answer as an engine that has what it was told."""
    with socket.create_server(str(path), family=socket.AF_UNIX) as server:
        server.settimeout(30)
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        yield
        thread.join()


def serve(server: socket.socket) -> None:
    told = b""
    for _ in range(2):
        connection, _ = server.accept()
        with connection, connection.makefile("rb") as lines:
            request = b"".join(iter(lines.readline, b"\n"))
            if request.startswith(b"set=1\n"):
                told = request.removeprefix(b"set=1\n")
                connection.sendall(b"errno=0\n\n")
            else:
                # In pieces, which end within the keys.
                answer = told + b"errno=0\n\n"
                for start in range(0, len(answer), 60):
                    connection.sendall(answer[start : start + 60])
                    threading.Event().wait(0.01)
