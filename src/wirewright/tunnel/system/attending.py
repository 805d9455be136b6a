"""An interface that is up as long as a process stays: what a service manager runs.

Setting up and taking down are plans like any other. Between them the process looks after the interface
several times in the time that the manager's watchdog grants, and says that it lives only if the engine
answers.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

from wirewright.tunnel.system.errors import InterfaceError, InterruptedPlanError
from wirewright.tunnel.system.plan import SIGNALS

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
        try:
            # What waits for names is ended at once; the plan itself heeds signals between its steps.
            with asked.at_once():
                interface.up(tell)
        except InterruptedPlanError:
            # It may have come when all was done.
            with suppress(InterfaceError):
                interface.down(tell)
            return
        manager.ready(f"{interface.name} is up")
        while not asked.within(period):
            if not interface.is_alive():
                # Rules and the resolver's servers do not go with it.
                with suppress(InterfaceError):
                    interface.down(tell)
                raise InterfaceError(f"{interface.name} is gone, or what serves it does not answer")
            manager.alive()
        manager.stopping(f"taking {interface.name} down")
        try:
            interface.down(tell)
        except InterruptedPlanError as error:
            # It was asked to end already.
            if not error.is_whole:
                raise


class _Asked:
    """Hears of the signals that ask to end."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        self._at_once = False

    def hear(self, number: int, _: object) -> None:
        """Note a signal, or end what is waited for."""
        if self._at_once:
            raise InterruptedPlanError(number, "interrupted; nothing was done")
        os.write(self._writing, b"!")

    def within(self, seconds: float) -> bool:
        """Wait so many seconds for a signal; tell whether one came."""
        return bool(select.select([self._reading], [], [], seconds)[0])

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Have a signal raise InterruptedPlanError within this block."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False


@contextmanager
def _asked_to_end() -> Iterator[_Asked]:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    asked = _Asked(reading, writing)
    # An ignored one, as under nohup, stays ignored.
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, asked.hear) for number in heard}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)
