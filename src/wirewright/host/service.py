"""The service manager that started us, if one did and wants to hear (``sd_notify(3)``).

It names a datagram socket in the environment, and how often it wants to hear that we live.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


_READY: Final = "READY=1"


class ServiceManager:
    """What we are told, and whom we tell. Where there is none, nothing is sent."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.watchdog: float | None = _watchdog(environment)
        """Seconds within which it wants to hear from us again; None if it does not."""

    @property
    def is_there(self) -> bool:
        """Whether anybody hears."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        """Tell that all is up."""
        self._tell(_READY, f"STATUS={status}")

    def alive(self) -> None:
        """Feed its watchdog. One that is gone, or that does not read, keeps nobody from working."""
        with suppress(OSError):
            self._tell("WATCHDOG=1")

    def stopping(self, status: str) -> None:
        """Tell that we end, if it hears."""
        with suppress(OSError):
            self._tell("STOPPING=1", f"STATUS={status}")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        # An abstract name begins with a zero byte, which is written as "@".
        abstract = self._address.startswith("@")
        address = "\0" + self._address[1:] if abstract else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            # Only that we are ready must not get lost.
            sender.setblocking(lines[0] == _READY)
            sender.sendto("\n".join(lines).encode(), address)


def _watchdog(environment: Mapping[str, str]) -> float | None:
    microseconds = environment.get("WATCHDOG_USEC", "")
    ours = environment.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
    if not ours or not microseconds.isdecimal() or len(microseconds) > 18 or not int(microseconds):
        return None
    return int(microseconds) / 1e6
