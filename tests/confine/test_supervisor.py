"""Which signals go on to the command."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from wirewright.confine import supervisor

COMMAND = 4242
SI_USER, SI_QUEUE, SI_KERNEL = 0, -1, 0x80


@pytest.mark.parametrize(
    ("number", "code", "sender", "passed"),
    [
        (signal.SIGTERM, SI_USER, 77, True),
        (signal.SIGUSR1, SI_QUEUE, 77, True),
        (signal.SIGINT, SI_USER, 77, True),
        # The terminal's came to the whole process group.
        (signal.SIGINT, SI_KERNEL, 0, False),
        (signal.SIGWINCH, SI_KERNEL, 0, False),
        # The command's own, to its group, among whom we are.
        (signal.SIGTSTP, SI_USER, COMMAND, False),
        (signal.SIGCHLD, SI_USER, 77, False),
    ],
)
def test_a_signal_is_passed_on_if_the_command_did_not_get_it_already(
    monkeypatch: pytest.MonkeyPatch, number: int, code: int, sender: int, passed: bool
) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(supervisor, "_send", lambda *words: sent.append(words))
    session: Any = object.__new__(supervisor._Session)
    session._command = COMMAND
    session._has_begun = lambda: True
    session._pass_on(SimpleNamespace(si_signo=number, si_code=code, si_pid=sender))
    assert sent == ([(COMMAND, number)] if passed else [])


def lingering(monkeypatch: pytest.MonkeyPatch, *, then: int | None) -> tuple[bytes, bool]:
    """Have an interrupt from before, and a signal later; give what the engine was told, and if it ended."""
    pending, is_over = [signal.SIGINT], False
    told: list[bytes] = []
    later = [then] if then else []

    def sigtimedwait(awaited: Any, _: float) -> SimpleNamespace | None:
        nonlocal is_over
        if pending and pending[0] in awaited:
            return SimpleNamespace(si_signo=pending.pop())
        if not told:
            return None
        if later:
            return SimpleNamespace(si_signo=later.pop())
        is_over = True
        return SimpleNamespace(si_signo=signal.SIGCHLD)

    session: Any = object.__new__(supervisor._Session)
    session._engine, session._stop = 77, 5
    session._engine_says = SimpleNamespace(error=lambda: None)
    with monkeypatch.context() as patch:
        patch.setattr(signal, "sigtimedwait", sigtimedwait)
        patch.setattr(os, "waitpid", lambda *_: (77, 0) if is_over else (0, 0))
        patch.setattr(os, "write", lambda _, word: told.append(word))
        session._linger(lambda _: None)
    return b"".join(told), session._engine is None


def test_the_interrupt_that_ended_the_command_does_not_end_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lingering(monkeypatch, then=None) == (b"e", True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_another_one_does(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    assert lingering(monkeypatch, then=number) == (b"e", False)
