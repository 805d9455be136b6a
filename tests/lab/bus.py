"""A system bus of our own, and a systemd-resolved on it that answers as it is told."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

NAME = "org.freedesktop.resolve1"
MANAGER = f"{NAME}.Manager"
CONFIGURATION = """
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""


@contextmanager
def daemon(folder: Path) -> Iterator[str]:
    """Run a bus; give its address."""
    configuration = folder / "bus.conf"
    configuration.write_text(CONFIGURATION.format(path=folder / "bus"))
    with subprocess.Popen(
        ["dbus-daemon", f"--config-file={configuration}", "--nofork", "--print-address"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address.startswith("unix:path=")
            yield address
        finally:
            process.kill()


@dataclass
class Fake:
    """What was asked of it, and how it answers."""

    address: str
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    """Methods, signatures and arguments, in order."""
    errors: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Methods that are refused: names of errors and words."""
    returns: dict[str, tuple[str, list[Any]]] = field(default_factory=dict)
    """Methods that return what they should not: signatures and values."""
    silent: set[str] = field(default_factory=set)
    """Methods that are not answered."""
    leaves_at: str | None = None
    """The method at which it leaves the bus without an answer."""

    @contextmanager
    def running(self) -> Iterator[Fake]:
        """Serve in a thread."""
        ready = threading.Event()
        loop = asyncio.new_event_loop()
        over = asyncio.Event()

        def serve() -> None:
            loop.run_until_complete(self._serve(ready, over))
            loop.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            assert ready.wait(20)
            yield self
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join()

    async def _serve(self, ready: threading.Event, over: asyncio.Event) -> None:
        bus = await MessageBus(bus_address=self.address).connect()

        def handle(message: Message) -> Message | bool:
            if message.message_type is not MessageType.METHOD_CALL or message.interface != MANAGER:
                return False
            member = message.member or ""
            self.calls.append((member, message.signature, message.body))
            if member == self.leaves_at:
                bus.disconnect()
                return True
            if member in self.silent:
                return True
            if member in self.errors:
                return Message.new_error(message, *self.errors[member])
            return Message.new_method_return(message, *self.returns.get(member, ("", [])))

        bus.add_message_handler(handle)
        await bus.request_name(NAME)
        ready.set()
        await over.wait()
        with suppress(Exception):
            bus.disconnect()
