"""The engine in user space: ``wirewright-tun``, a process behind each interface."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
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
        outcome = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-P", "-m", "wirewright.tun", interface],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            cwd="/",
            timeout=PATIENCE,
            check=False,
        )
        if outcome.returncode:
            said = outcome.stderr.strip().removeprefix("wirewright-tun: ") or "wirewright-tun failed"
            raise OSError(errno.EIO, said)

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

    def set(self, interface: str, change: DeviceChange) -> None:
        """Change it."""
        with UapiClient(interface) as client:
            client.set(change)
