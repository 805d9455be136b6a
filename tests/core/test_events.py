"""Asking for events, which every wake of a loop does."""

import sys
from pathlib import Path

import pytest

from wirewright._core import RootlessTunnel, SecretKey

THREADS = Path("/proc/self/task")


def sleeps(thread: Path) -> int:
    """How often a thread of this process went to sleep."""
    status = (thread / "status").read_text()
    return int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])


def is_asleep(thread: Path) -> bool:
    return (thread / "stat").read_text().rpartition(")")[2].split()[0] == "S"


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc to count through")
def test_asking_for_events_does_not_wake_the_tunnels_thread() -> None:
    before = set(THREADS.iterdir())
    tunnel = RootlessTunnel(SecretKey.generate(), ["10.0.0.1/24"], listen_address="127.0.0.1")
    (thread,) = set(THREADS.iterdir()) - before
    # With nobody to talk to, it sleeps until somebody wakes it.
    while not is_asleep(thread):
        pass
    asleep = sleeps(thread)
    for _ in range(20_000):
        assert tunnel.events() == []
    # Not none, for what it slept on may have been the lock.
    assert sleeps(thread) - asleep < 3
    tunnel.close()
