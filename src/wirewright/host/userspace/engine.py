"""The engine in user space: ``wirewright-tun``, a process behind each interface."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from wirewright.host.network import Network
from wirewright.host.userspace.client import SOCKETS, UapiClient, socket_of

if TYPE_CHECKING:
    from wirewright.host.device import DeviceChange, DeviceState

TUN: Final = Path("/dev/net/tun")
PATIENCE: Final = 20.0
"""Seconds that a process may take to begin, or to end."""


class UserspaceEngine:
    """Interfaces that processes serve. An :class:`~wirewright.host.engine.Engine`.

    It makes interfaces with our own program. It speaks to those of others too, such as wireguard-go's.
    """

    name: Final[Literal["wirewright"]] = "wirewright"

    def why_absent(self) -> str | None:
        """Say why it cannot make an interface on this host; None if it can."""
        if not TUN.exists():
            return f"{TUN} is not there: this system has no TUN devices, or this container is not given them"
        return None

    def has(self, interface: str) -> bool:
        """Whether a process serves an interface of this name."""
        try:
            UapiClient(interface).__exit__()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def interfaces(self) -> list[str]:
        """Give the names of all interfaces that are served."""
        found = sorted(SOCKETS.glob("*.sock")) if SOCKETS.is_dir() else []
        return [path.stem for path in found if self.has(path.stem)]

    def counters(self, interface: str) -> dict[str, int]:
        """Tell what was dropped and why, by the names of the engine's events; only our engine answers."""
        with UapiClient(interface) as client:
            return client.counters()

    def create(self, interface: str) -> None:
        """Make an interface; its process goes on in the background."""
        with Network() as network:
            if network.link(interface) is not None:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), interface)
        # A file, and not a pipe: the process in the background may keep it, and nobody waits for its end.
        with tempfile.TemporaryFile() as said:
            try:
                outcome = subprocess.run(  # noqa: S603 - our own program
                    [sys.executable, "-P", "-m", "wirewright.tun", interface],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    cwd="/",
                    env=_environment(),
                    timeout=PATIENCE,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                with suppress(OSError):
                    self.delete(interface)
                words = f"wirewright-tun did not begin within {PATIENCE:g} s"
                raise OSError(errno.ETIMEDOUT, words, interface) from None
            if outcome.returncode:
                said.seek(0)
                words = said.read().decode(errors="replace").strip().removeprefix("wirewright-tun: ")
                raise OSError(errno.EIO, words or "wirewright-tun failed")

    def delete(self, interface: str) -> None:
        """Delete an interface, and wait for its process to clear up; what no process serves is left alone."""
        if not self.has(interface):
            raise OSError(errno.ENODEV, "no process serves such an interface", interface)
        with Network() as network:
            network.delete_link(interface)
        deadline = time.monotonic() + PATIENCE
        while socket_of(interface).exists():
            if time.monotonic() > deadline:
                raise OSError(errno.ETIMEDOUT, "the process behind it does not end", interface)
            time.sleep(0.01)

    def get(self, interface: str) -> DeviceState:
        """Tell its state."""
        with UapiClient(interface) as client:
            return client.get()

    def is_silent(self, interface: str) -> bool:
        """Whether it is up, and nothing comes or goes since another has its UDP port; only ours tells."""
        with UapiClient(interface) as client:
            return client.is_silent()

    def set(self, interface: str, change: DeviceChange) -> None:
        """Change it."""
        with UapiClient(interface) as client:
            client.set(change)


def _environment() -> dict[str, str]:
    """Leave out what is meant for other programs, and would have it stay, or take descriptors over."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in {"LOG_LEVEL", "NOTIFY_SOCKET", "WATCHDOG_USEC"} and not name.startswith("WG_")
    }
