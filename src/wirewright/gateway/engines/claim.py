"""Whose interface it is: a note that outlives a gateway which is killed, and a lock that does not.

The note says that a gateway made the interface of this name, so that the next one may take it over and must
take it away. The lock on it says that this gateway is still there.
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Final

from wirewright.tunnel.system import shared
from wirewright.tunnel.system.errors import InterfaceError

GATEWAY: Final = "gateway"


class Claim:
    """One gateway's right to an interface."""

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._lock: int | None = None
        self.was_left = False
        """Whether one of before made the interface, and did not take it away."""

    @property
    def is_held(self) -> bool:
        """Whether it is ours."""
        return self._lock is not None

    def take(self) -> None:
        """Have it. Raises InterfaceError: another gateway has it."""
        if self._lock is not None:
            return
        was_left = shared.is_needed_by(GATEWAY, self._interface)
        shared.note(GATEWAY, self._interface)
        lock = os.open(shared.path_of(GATEWAY, self._interface), os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise InterfaceError(f"another gateway serves {self._interface}: stop it first") from None
        self._lock, self.was_left = lock, was_left

    def release(self) -> None:
        """Have it no more, and leave no note."""
        if self._lock is not None:
            shared.forget(GATEWAY, self._interface)
            self.abandon()

    def abandon(self) -> None:
        """Let another gateway take over what is there."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
