"""An interface that a process stays for."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

import pytest

from wirewright.host.service import ServiceManager
from wirewright.tunnel.system import InterfaceError, InterruptedPlanError
from wirewright.tunnel.system.attending import attend


@dataclass
class Story:
    """An interface and a service manager that write down what happens."""

    looks: list[Callable[[], bool]]
    """What each look at the interface finds."""
    happened: list[str] = field(default_factory=list)
    name: str = "wg0"
    during_up: Callable[[], object] = lambda: None
    during_down: Callable[[], object] = lambda: None

    def up(self, tell: Callable[[str], None]) -> None:
        tell("up")
        self.during_up()

    def down(self, tell: Callable[[str], None]) -> None:
        tell("down")
        self.during_down()

    def is_alive(self) -> bool:
        return self.looks.pop(0)()

    def run(self) -> list[str]:
        story = self

        class Manager(ServiceManager):
            def _tell(self, *lines: str) -> None:
                story.happened.append(lines[0])

        manager = Manager({"WATCHDOG_USEC": "30000"})
        attend(self, manager, self.happened.append)
        return self.happened


def alive() -> bool:
    return True


def asked(number: signal.Signals) -> Callable[[], bool]:
    def look() -> bool:
        os.kill(os.getpid(), number)
        return True

    return look


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_stays_until_it_is_asked_to_end(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    story = Story([alive, alive, asked(number)])
    assert story.run() == ["up", "READY=1", *["WATCHDOG=1"] * 3, "STOPPING=1", "down"]
    assert signal.getsignal(number) is before


def test_an_interface_that_goes_away_ends_it_and_its_watchdog_is_fed_no_more() -> None:
    story = Story([alive, lambda: False])
    with pytest.raises(InterfaceError, match="wg0 is gone"):
        story.run()
    # What does not go with it, such as rules, is taken away.
    assert story.happened == ["up", "READY=1", "WATCHDOG=1", "down"]


def test_a_signal_while_it_is_set_up_ends_it_at_once_and_it_is_never_ready() -> None:
    story = Story([])

    def wait() -> None:
        asked(signal.SIGTERM)()
        pytest.fail("the signal did not end what was waited for")

    story.during_up = wait
    assert story.run() == ["up", "down"]


def test_what_cannot_be_set_up_is_never_ready() -> None:
    story = Story([])

    def fail() -> None:
        raise InterfaceError("no")

    story.during_up = fail
    with pytest.raises(InterfaceError):
        story.run()
    assert story.happened == ["up"]


@pytest.mark.parametrize("is_whole", [True, False])
def test_that_it_is_asked_again_while_it_is_taken_down_is_an_error_only_if_something_is_left(
    is_whole: bool,
) -> None:
    story = Story([asked(signal.SIGTERM)])

    def hear() -> None:
        raise InterruptedPlanError(signal.SIGTERM, "interrupted", is_whole=is_whole)

    story.during_down = hear
    with nullcontext() if is_whole else pytest.raises(InterruptedPlanError):
        story.run()
    assert story.happened[-1] == "down"
