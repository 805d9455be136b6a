"""Which signals go on to the command."""

from __future__ import annotations

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
