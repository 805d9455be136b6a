"""Steps that change the host, and how a row of them is undone when one fails.

A plan is a row of steps. They are done in order; if one fails, or the user interrupts, those that were done
are undone in the opposite order, and the host is as it was. A step is never left half done by an interrupt:
signals that ask to end wait until it is over.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Protocol

from wirewright.host.errors import words
from wirewright.tunnel.system.errors import InterfaceError, InterruptedPlanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from wirewright.tunnel.system.host import Host

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Step(Protocol):
    """One change of the host."""

    def describe(self) -> str:
        """Give the command that people know for it."""
        ...

    def do(self, host: Host) -> None:
        """Make the change, wholly or not at all. Raises OSError."""
        ...

    def undo(self, host: Host) -> None:
        """Take it back, when later steps have been taken back already. Raises OSError."""
        ...


class Patience:
    """Tells whether a signal has asked to end since the block began."""

    def __init__(self) -> None:
        self.number = 0

    def hear(self, number: int, _: object) -> None:
        """Note a signal."""
        self.number = self.number or number


@contextlib.contextmanager
def deferred_signals() -> Iterator[Patience]:
    """Note the signals that ask to end, rather than be interrupted; only the main thread gets any."""
    patience = Patience()
    if threading.current_thread() is not threading.main_thread():
        yield patience
        return
    # An ignored one, as under nohup, stays ignored.
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, patience.hear) for number in heard}
    try:
        yield patience
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def carry_out(host: Host, steps: Sequence[Step], tell: Callable[[str], None]) -> None:
    """Do all steps, or none. Raises InterfaceError: what failed, and what could not be undone."""
    done: list[Step] = []
    with deferred_signals() as patience:
        for step in steps:
            try:
                tell(step.describe())
                step.do(host)
            except BaseException as error:
                left = undo(host, done, tell)
                if patience.number and isinstance(error, OSError):
                    # A terminal interrupts hooks as well, which fail then.
                    raise _interrupted(patience, left) from error
                raise _explained(error, step, left) from error
            done.append(step)
            if patience.number:
                raise _interrupted(patience, undo(host, done, tell))


def undo(host: Host, steps: Sequence[Step], tell: Callable[[str], None]) -> list[str]:
    """Undo steps from the last to the first; return what could not be undone."""
    left = []
    for step in reversed(steps):
        try:
            step.undo(host)
        except Exception as error:
            left.append(f"{step.describe()}: {words(error)}")
            tell(f"could not be undone: {left[-1]}")
    return left


def _interrupted(patience: Patience, left: list[str]) -> InterruptedPlanError:
    return InterruptedPlanError(patience.number, f"interrupted{_ending(left)}", is_whole=not left)


def _explained(error: BaseException, step: Step, left: list[str]) -> BaseException:
    if isinstance(error, OSError):
        return InterfaceError(f"{step.describe()}: {words(error)}{_ending(left)}")
    return error


def _ending(left: list[str]) -> str:
    return "; everything was undone" if not left else f"; this could not be undone: {'; '.join(left)}"
