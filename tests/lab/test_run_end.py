"""`ww run` when its command ends: what that sent arrives all the same."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from tests.lab.confined import desk, owned
from tests.lab.nodes import INSIDE, answer, inside, until
from tests.lab.test_run_terminal import shell
from wirewright.lab import Rate, Weather

SLOW = Rate(1_000_000)
"""Two seconds for what fits a send queue."""
SNAIL = 32_000
SIZE = "200000"


@pytest.mark.parametrize("address", ["10.7.0.2", "fd07::2"])
def test_a_command_may_write_close_and_end_and_all_of_it_arrives(address: str) -> None:
    with desk(rate=SLOW) as at:
        sink = inside(at.lab["b"], "sink")
        done = at.run(sys.executable, INSIDE, "leave", address, SIZE)
        assert (done.returncode, done.stderr) == (0, "")
        assert answer(sink) == done.stdout.strip()
        assert at.machine.processes() == []


def test_what_a_killed_command_had_written_arrives_too() -> None:
    with desk(rate=SLOW) as at:
        sink = inside(at.lab["b"], "sink")
        process = at.start(sys.executable, INSIDE, "leave", "10.7.0.2", SIZE, "and stay")
        assert process.stdout is not None
        sent = process.stdout.readline().strip()
        _, _, command = at.tree()
        os.kill(command, signal.SIGKILL)
        _, errors = process.communicate(timeout=50)
        assert (process.returncode, errors) == (128 + signal.SIGKILL, "")
        assert answer(sink) == sent


def test_a_datagram_that_waits_for_the_first_handshake_arrives() -> None:
    with desk(weather=Weather(delay=0.1)) as at:
        hearer = inside(at.lab["b"], "take", "1")
        assert at.run(sys.executable, INSIDE, "call", "10.7.0.2", "hello").returncode == 0
        assert answer(hearer) == "hello"


def test_datagrams_that_the_engine_has_not_read_arrive() -> None:
    # More than the engine reads at a time, and less than the TUN holds.
    words = [f"{number:03}" for number in range(400)]
    with desk() as at:
        hearer = inside(at.lab["b"], "take", str(len(words)))
        call = f"{sys.executable} {INSIDE} call 10.7.0.2 {' '.join(words)}"
        process = at.start("sh", "-ec", f"ping -n -c1 -w20 10.7.0.2 >/dev/null; echo ready; read x; {call}")
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        ww, engine, _ = at.tree()
        os.kill(engine, signal.SIGSTOP)
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        until(lambda: sorted(at.machine.processes()) == sorted((ww, engine)), "the command has ended")
        os.kill(engine, signal.SIGCONT)
        assert process.wait(50) == 0
        process.communicate()
        assert answer(hearer).split() == words


def test_a_peer_that_vanished_is_not_waited_for_without_end() -> None:
    with desk() as at:
        sink = inside(at.lab["b"], "sink")
        process = at.start(sys.executable, INSIDE, "connected", "10.7.0.2")
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        at.there.kill()
        _, errors = process.communicate("\n", timeout=60)
        assert (process.returncode, errors) == (3, "ww: not all that was sent on 1 connection has arrived\n")
        sink.kill()
        sink.communicate()


def test_a_peer_that_never_answers_keeps_nobody_for_long() -> None:
    with desk() as at:
        at.there.kill()
        done = at.run(sys.executable, INSIDE, "call", "10.7.0.2", "hello")
        said = "ww: a peer did not answer: the last packets to it were dropped\n"
        assert (done.returncode, done.stderr) == (0, said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_at_once_and_the_status_stays_the_commands(number: signal.Signals) -> None:
    with desk(rate=Rate(SNAIL)) as at:
        sink = inside(at.lab["b"], "sink")
        process = at.start("sh", "-c", f"{sys.executable} {INSIDE} leave 10.7.0.2 {SIZE}; exit 4")
        assert process.stdout is not None
        assert process.stdout.readline().endswith(f" {SIZE}\n")
        until(lambda: len(at.machine.processes()) == 2, "the command has ended")
        # It takes 50 s to send all of it: without the signal it would not end in time.
        os.kill(at.first(), number)
        assert process.wait(30) == 4
        assert process.communicate() == ("", "")
        assert at.machine.processes() == []
        sink.kill()
        sink.communicate()


def test_an_interrupt_that_ends_the_command_does_not_end_the_wait_and_a_second_does() -> None:
    with desk(rate=SLOW) as at, shell(at) as terminal:
        sink = inside(at.lab["b"], "sink")
        terminal.type(f"$RUN {sys.executable} {INSIDE} leave 10.7.0.2 {SIZE} stay\n")
        sent = terminal.read_until(f"[0-9a-f]{{64}} {SIZE}")
        terminal.type("\x03")
        assert answer(sink) == sent
        terminal.type("echo status $?\n")
        terminal.read_until("status 130")
        for machine in (at.lab["b"], at.machine):
            machine.run(*f"tc qdisc replace dev eth0 root tbf rate {SNAIL} burst 4000 limit 100000".split())
        sink = inside(at.lab["b"], "sink")
        terminal.type(f"$RUN {sys.executable} {INSIDE} leave 10.7.0.2 {SIZE} stay\n")
        terminal.read_until(f"[0-9a-f]{{64}} {SIZE}")
        terminal.type("\x03")
        terminal.read_until("the tunnel waits until what was sent has arrived; CTRL-C ends it at once")
        terminal.type("\x03")
        terminal.type("echo status $?\n")
        terminal.read_until("status 130")
        sink.kill()
        sink.communicate()


def test_what_goes_on_in_the_background_is_not_waited_for() -> None:
    with desk() as at:
        at.folder.chmod(0o777)
        seen, pipe = at.folder / "seen", at.folder / "pipe"
        seen.touch()
        owned(seen)
        # One has a connection in which nothing waits; it ends with the other, which waits for the tunnel to.
        sink = inside(at.lab["b"], "sink")
        script = f"""
            mkfifo {pipe}
            {sys.executable} {INSIDE} connected 10.7.0.2 <{pipe} &
            setsid sh -c 'while ip -o link | grep -q office; do :; done; ip -o link >{seen}' >{pipe} &
            read x
        """
        process = at.start("sh", "-c", script, stderr=None)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait(20) == 0
        until(lambda: "lo:" in seen.read_text(), "what was left looks around")
        assert len(seen.read_text().splitlines()) == 1
        process.communicate()
        sink.kill()
        sink.communicate()
