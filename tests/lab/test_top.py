"""`ww top` on an interface of ours, and on a terminal that it leaves as it was."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.lab.nodes import cable, pair, until
from wirewright.lab import Lab

WW = (sys.executable, "-m", "wirewright")
ENTER, LEAVE, SHOW_CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"


def test_each_look_is_a_line_of_json() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        pings = lab["a"].popen("ping", "-n", "-q", "-i", "0.1", "10.7.0.2", stdout=subprocess.DEVNULL)
        said = lab["a"].run(*WW, "top", "wg0", "--json", "-n", "1", "-c", "2").stdout
        pings.kill()
        pings.wait()
        first, second = map(json.loads, said.splitlines())
        assert second["time"] > first["time"]
        (peer,) = second["interfaces"][0]["peers"]
        assert peer["public_key"] == str(b.public_key)
        assert peer["received_per_second"] > 0
        assert peer["sent_per_second"] > 0
        # Once, where the output is no terminal.
        shown = lab["a"].run(*WW, "top", "-n", "0.2").stdout
        assert shown.startswith("wg0  wirewright  port 51820  1 peer, 1 in touch")
        done = lab["a"].run(*WW, "top", "wg1", check=False)
        assert (done.returncode, done.stderr) == (1, "ww: wg1 is not a WireGuard interface\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_terminal_is_left_as_it_was(tmp_path: Path, number: signal.Signals, status: int) -> None:
    with Lab(cable()) as lab:
        pair(lab)
        main, terminal = pty.openpty()
        before = termios.tcgetattr(terminal)
        process = lab["a"].popen(
            *(*WW, "top", "-n", "0.2"),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={"TERM": "xterm"},
        )
        seen = b""
        while b"in touch" not in seen:
            seen += os.read(main, 65536)
        (top,) = (
            pid
            for pid in lab["a"].processes()
            if b"top" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        )
        os.kill(top, number)
        until(lambda: process.poll() is not None, "it ends", 40)
        os.set_blocking(main, False)
        while True:
            try:
                seen += os.read(main, 65536)
            except BlockingIOError:
                break
        assert process.returncode == status
        assert seen.index(ENTER) < seen.index(LEAVE)
        assert seen.rindex(SHOW_CURSOR) > seen.index(b"in touch")
        assert b"Traceback" not in seen
        assert termios.tcgetattr(terminal) == before
        os.close(main)
        os.close(terminal)
