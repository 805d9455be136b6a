"""A coordinator in a thread of the tests' process, and commands in their own thread, as if typed."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

from wirewright.cli.app import run
from wirewright.client import Access, Client
from wirewright.coordinator.process import Running, Settings, running
from wirewright.coordinator.serving import Listening


@dataclass
class Done:
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        assert self.returncode == 0, self.stderr
        data: dict[str, Any] = json.loads(self.stdout)
        return data

    @property
    def json_error(self) -> str:
        """What a command that failed says in JSON."""
        assert (self.returncode, self.stderr) == (1, "")
        told = json.loads(self.stdout)["error"]
        assert isinstance(told, str)
        return told


@dataclass
class Desk:
    """Someone at a terminal: where a coordinator's state is, and a folder for their files."""

    folder: Path
    state: Path
    environment: dict[str, str] = field(default_factory=dict)

    def ww(self, *arguments: str, stdin: str | None = "") -> Done:
        """Run a command; errors end it as they end the program."""
        outputs = [(self.folder / name).open("w+") for name in ("stdout", "stderr")]
        read = None if stdin is None else io.TextIOWrapper(io.BytesIO(stdin.encode()))
        environment = {"WIREWRIGHT_STATE": str(self.state), "COLUMNS": "100", **self.environment}
        with (
            mock.patch.object(sys, "argv", ["ww", *arguments]),
            mock.patch.object(sys, "stdin", read),
            mock.patch.object(sys, "stdout", outputs[0]),
            mock.patch.object(sys, "stderr", outputs[1]),
            mock.patch.dict(os.environ, environment),
        ):
            status = run()
        told = []
        for output in outputs:
            output.flush()
            output.seek(0)
            told.append(output.read())
            output.close()
        return Done(status, *told)

    def json(self, *arguments: str, stdin: str = "") -> dict[str, Any]:
        """Run a command that must go well, and give its JSON."""
        return self.ww(*arguments, "--json", stdin=stdin).json

    def client(self) -> Client:
        """Give a client of the API with the administrator's token."""
        return Client(Access.find(None, None, None, self.state, {}))

    def sits(self, token: str, name: str) -> Desk:
        """Give the desk of someone with another token."""
        path = self.folder / f"{name}.token"
        path.write_text(f"{token}\n")
        path.chmod(0o600)
        return replace(self, environment=self.environment | {"WIREWRIGHT_TOKEN_FILE": str(path)})


@contextmanager
def coordinating(settings: Settings) -> Iterator[Running]:
    """Run a coordinator in a thread of its own."""
    ready: list[Running | BaseException] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        try:
            async with running(settings) as process:
                ready.append(process)
                started.set()
                await stop.wait()
        except BaseException as error:
            ready.append(error)
            started.set()
            raise

    def work() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            if not ready:
                runner.run(serve())

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    first = ready[0]
    if isinstance(first, BaseException):
        thread.join()
        raise first
    try:
        yield first
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def without_gateway(state: Path, **more: Any) -> Settings:
    return Settings(state, Listening(port=0), gateway=None, **more)
