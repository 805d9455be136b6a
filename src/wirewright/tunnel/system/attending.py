"""An interface that is up as long as a process stays: what a service manager runs.

Setting up and taking down are plans like any other. Between them the process looks after the interface
several times in the time that the manager's watchdog grants, and says that it lives only if the engine
answers.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from wirewright.tunnel.system.errors import InterfaceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wirewright.host.service import ServiceManager

PERIOD: Final = 5.0
"""Seconds between two looks, where no watchdog asks for more."""
LOOKS: Final = 3
"""Looks in the time that a watchdog grants."""


class Attended(Protocol):
    """What is needed of an interface."""

    name: str

    def up(self, tell: Callable[[str], None]) -> None:
        """Set it up, wholly or not at all."""
        ...

    def down(self, tell: Callable[[str], None]) -> None:
        """Take it down."""
        ...

    def is_alive(self) -> bool:
        """Whether it is there, and its engine answers."""
        ...


def attend(interface: Attended, manager: ServiceManager, tell: Callable[[str], None]) -> None:
    """Set an interface up, stay until a signal asks to end, and take it down.

    Raises InterfaceError: it could not be set up, or it went away meanwhile.
    """
    period = min(PERIOD, (manager.watchdog or PERIOD * LOOKS) / LOOKS)
    with _asked_to_end() as asked:
        interface.up(tell)
        manager.ready(f"{interface.name} is up")
        while not asked(period):
            if not interface.is_alive():
                raise InterfaceError(f"{interface.name} is gone, or what serves it does not answer")
            manager.alive()
        manager.stopping(f"taking {interface.name} down")
        interface.down(tell)


@contextmanager
def _asked_to_end() -> Iterator[Callable[[float], bool]]:
    """Give what waits so many seconds for a signal that asks to end, and tells whether one came."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def hear(*_: object) -> None:
        os.write(writing, b"!")

    def wait(seconds: float) -> bool:
        return bool(select.select([reading], [], [], seconds)[0])

    before = {number: signal.signal(number, hear) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield wait
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)
