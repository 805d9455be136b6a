"""`ww run` under a shell at a terminal: interrupts, stopped jobs, and a shell inside."""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.confined import WITHOUT_PRIVILEGES, Desk, desk, state

PATIENCE = 30


class Terminal:
    """What someone types, and reads on the screen."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.unread = ""

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def read_until(self, pattern: str) -> str:
        """Read on until something is there; return that."""
        end = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.unread, re.DOTALL)):
            ready, _, _ = select.select([self.descriptor], [], [], max(0, end - time.monotonic()))
            assert ready, f"no {pattern!r} in {self.unread!r}"
            self.unread += os.read(self.descriptor, 65536).decode(errors="replace")
        self.unread = self.unread[found.end() :]
        return found.group()


@contextmanager
def shell(at: Desk) -> Iterator[Terminal]:
    """Give the user an interactive shell; ``$RUN`` runs what follows in the tunnel."""
    master, slave = os.openpty()
    run = " ".join(at.words()[len(WITHOUT_PRIVILEGES) :])
    process = at.machine.popen(
        "setsid",
        "--ctty",
        "--wait",
        *WITHOUT_PRIVILEGES,
        *("bash", "--norc", "--noprofile", "--noediting", "-i"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={"RUN": run, "PS1": "> ", "TERM": "dumb", "HISTFILE": ""},
    )
    os.close(slave)
    terminal = Terminal(master)
    try:
        terminal.read_until("> ")
        yield terminal
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_an_interrupt_is_the_commands_and_its_end_is_told() -> None:
    with desk() as at, shell(at) as terminal:
        terminal.type("$RUN cat\n")
        terminal.type("hello\n")
        # Once by the terminal, once by cat.
        terminal.read_until("hello\r\n.*hello\r\n")
        terminal.type("\x03")
        terminal.read_until("> ")
        terminal.type("echo status $?\n")
        terminal.read_until("status 130")
        terminal.type("$RUN sh -c 'trap \"echo caught; exit 5\" INT; echo $((6*7)); read x'\n")
        terminal.read_until("42")
        terminal.type("\x03")
        terminal.read_until("caught")
        terminal.type("echo status $?\n")
        terminal.read_until("status 5")


def test_a_job_is_stopped_and_continued_while_the_tunnel_goes_on() -> None:
    with desk() as at, shell(at) as terminal:
        terminal.type("$RUN cat\n")
        terminal.type("one\n")
        terminal.read_until("one\r\n.*one\r\n")
        terminal.type("\x1a")
        terminal.read_until("Stopped")
        ww, engine, command = at.tree()
        assert (state(ww), state(engine), state(command)) == ("T", "S", "T")
        terminal.type("fg\n")
        terminal.type("two\n")
        terminal.read_until("two\r\n.*two\r\n")
        # Some stop themselves alone, as less does.
        terminal.type("\x04")
        terminal.type("$RUN sh -c 'kill -TSTP $$; exit 6'\n")
        terminal.read_until("Stopped")
        terminal.type("fg\n")
        terminal.type("echo status $?\n")
        terminal.read_until("status 6")


def test_a_shell_inside_has_jobs_of_its_own() -> None:
    with desk() as at, shell(at) as terminal:
        terminal.type("$RUN bash --norc --noprofile --noediting -i\n")
        terminal.type("echo $(ip -o link | wc -l) links\n")
        terminal.read_until("2 links")
        terminal.type("cat\n")
        terminal.type("one\n")
        terminal.read_until("one\r\n.*one\r\n")
        terminal.type("\x1a")
        terminal.read_until("Stopped.*cat")
        terminal.type("fg\n")
        terminal.type("two\n")
        terminal.read_until("two\r\n.*two\r\n")
        terminal.type("\x03")
        terminal.read_until("> ")
        terminal.type("echo status $?\n")
        terminal.read_until("status 130")
        terminal.type("suspend -f\n")
        terminal.read_until("Stopped.*bash")
        terminal.type("echo $(ip -o link | grep -c office) outside\n")
        terminal.read_until("0 outside")
        terminal.type("fg\n")
        terminal.type("echo $(ip -o link | grep -c office) inside\n")
        terminal.read_until("1 inside")
        terminal.type("exit 4\n")
        terminal.type("echo status $?\n")
        terminal.read_until("status 4")
