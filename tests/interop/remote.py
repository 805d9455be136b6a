"""The test's side of a helper process (see `agent`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

# The child dies with the test process, whatever way that goes.
TIED = ["setpriv", "--pdeathsig", "KILL"]


class RemoteError(Exception):
    """A call that raised in the helper process: the names of its classes, and what it said."""

    def __init__(self, kinds: Sequence[str], message: str) -> None:
        super().__init__(f"{kinds[0]}: {message}")
        self.kinds = tuple(kinds)
        self.message = message


class Remote:
    """A helper process, and the calls that it has not answered yet."""

    def __init__(self, module: str, *, prefix: Sequence[str] = ()) -> None:
        """Start ``python -m module`` behind `prefix` (such as ``nsenter ...``)."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close())
        self._process = subprocess.Popen(
            [*TIED, *prefix, sys.executable, "-W", "error", "-m", module],
            cwd=ROOT,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._lock = threading.Lock()
        self._ids = count(1)
        self._calls: dict[int, Future[Any]] = {}
        self._hello: Future[dict[str, Any]] = Future()
        self._reader = threading.Thread(target=self._read, name=module, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def hello(self) -> dict[str, Any]:
        """What the process said when it was ready; waits for it."""
        return self._hello.result(30)

    def start(self, call: str, **arguments: Any) -> Future[Any]:
        """Make a call and return at once."""
        future: Future[Any] = Future()
        with self._lock:
            ident = next(self._ids)
            self._calls[ident] = future
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"id": ident, "call": call, "arguments": arguments}) + "\n")
            self._process.stdin.flush()
        return future

    def call(self, call: str, **arguments: Any) -> Any:
        """Make a call and wait for its result."""
        return self.start(call, **arguments).result(40)

    def close(self) -> tuple[int, str]:
        """End the process. Returns its exit status and what it wrote to standard error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()
            status = self._process.wait(15)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self._process.kill()
            status = self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace")
        self._errors.close()
        return status, said

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if "hello" in message:
                self._hello.set_result(message["hello"])
                continue
            with self._lock:
                future = self._calls.pop(message["id"])
            if "error" in message:
                future.set_exception(RemoteError(**message["error"]))
            else:
                future.set_result(message["result"])
        gone = EOFError("the helper process ended")
        with self._lock:
            left = [*self._calls.values()]
            self._calls.clear()
        for future in left:
            future.set_exception(gone)
        if not self._hello.done():
            self._hello.set_exception(gone)
