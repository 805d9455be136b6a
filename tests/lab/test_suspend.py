"""A machine that was asleep: boot time has gone on, monotonic time has not."""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path

import pytest

from tests.lab.nodes import INNER, OUTER, Node, cable, peer_section, transfer, until
from tests.lab.sleeper import take_away
from wirewright.lab import Lab, Machine

SLEEP = 600
NAP = 60
"""Seconds after which a session would be good still."""
SLEEPER = str(Path(__file__).with_name("sleeper.py"))
SHARDS = pytest.mark.parametrize("shards", [1, 2])

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the clock is replaced in machine code"
)


def drowsy_pair(
    lab: Lab, shards: int, seconds: int = SLEEP, keepalive: int | None = None
) -> tuple[Node, Node]:
    """Two interfaces, the first of which is on a machine that can sleep for so long."""
    ahead = ("unshare", "--time", "--boottime", str(seconds), "--")
    wrapper = (*ahead, sys.executable, SLEEPER, str(seconds))
    a = Node(lab["a"], INNER[0], shards=shards, wrapper=wrapper).start()
    b = Node(lab["b"], INNER[1]).start()
    a.setconf(peer_section(b, endpoint=OUTER[4][1], keepalive=keepalive))
    b.setconf(peer_section(a, endpoint=OUTER[4][0]))
    a.ping("10.7.0.2")
    return a, b


def sleep(machine: Machine) -> None:
    """Let the machine have slept."""
    (process,) = machine.processes("wirewright-tun")
    take_away(str(process), 0)


def cpu_seconds(machine: Machine) -> float:
    (process,) = machine.processes("wirewright-tun")
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pass_time(seconds: float) -> None:
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, f"{seconds} s pass")


@SHARDS
def test_a_machine_that_slept_has_forgotten_its_sessions(shards: int) -> None:
    with Lab(cable()) as lab:
        a, b = drowsy_pair(lab, shards, NAP)
        b.ping("10.7.0.1")
        # Nothing leaves a any more, lest a timer's message bring a new session.
        for words in (
            "table ip wall",
            "chain ip wall out { type filter hook output priority 0; policy drop; }",
        ):
            lab["a"].run("nft", "add", *words.split())
        assert a.counters()["no_session"] == 0
        b.reaches("10.7.0.1")
        assert a.counters()["no_session"] == 0
        sleep(lab["a"])
        # b still believes in the session.
        b.reaches("10.7.0.1")
        counters = a.counters()
        assert (counters["no_session"] > 0, counters["session_expired"]) == (True, 0)


@SHARDS
def test_the_first_packet_after_a_sleep_brings_a_new_session_and_data_flow(shards: int) -> None:
    with Lab(cable()) as lab:
        a, b = drowsy_pair(lab, shards)
        handshake = a.latest_handshake(b)
        pass_time(2)
        sleep(lab["a"])
        a.ping("10.7.0.2", seconds=5)
        assert a.latest_handshake(b) > handshake
        b.ping("10.7.0.1", seconds=5)
        transfer(lab["a"], lab["b"], "10.7.0.2", 1_000_000)
        transfer(lab["b"], lab["a"], "10.7.0.1", 1_000_000)
        assert a.counters()["session_expired"] == 0


@SHARDS
def test_timers_that_came_due_in_a_sleep_go_off_once(shards: int) -> None:
    with Lab(cable()) as lab:
        a, b = drowsy_pair(lab, shards, keepalive=5)
        before = b.received(a)
        sleep(lab["a"])
        handshake = int(time.time())
        # A persistent keepalive was due: nobody has to send anything.
        until(lambda: a.latest_handshake(b) >= handshake, "a new session", 4)
        used = cpu_seconds(lab["a"])
        pass_time(6)
        assert cpu_seconds(lab["a"]) - used < 0.5
        # A handshake, and keepalives five seconds apart.
        assert b.received(a) - before < 148 + 4 * 32
        b.ping("10.7.0.1")
