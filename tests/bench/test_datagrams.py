"""The sender and the receiver, over loopback."""

from __future__ import annotations

import json
import subprocess
import sys

from wirewright.bench import datagrams

COMMAND = [sys.executable, "-m", datagrams.__name__]


def exchange(size: int, seconds: float, rate: int, *how: str) -> tuple[dict[str, float], dict[str, float]]:
    with subprocess.Popen([*COMMAND, "receive"], stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "ready\n"
        words = ["send", "127.0.0.1", str(size), str(seconds), str(rate), *how]
        sender = subprocess.run([*COMMAND, *words], stdout=subprocess.PIPE, text=True, check=True)
        got, _ = receiver.communicate(timeout=30)
    return json.loads(sender.stdout), json.loads(got)


def test_a_paced_sender_sends_what_it_was_told_and_all_of_it_is_counted() -> None:
    sent, got = exchange(64, 0.5, 1000)
    # Whoever is kept waiting at the end has sent less, but never more.
    assert 0 < sent["sent"] <= 500
    assert got["received"] == sent["sent"]
    assert sent["seconds"] >= 0.5


def test_who_sends_singly_sends_a_few_at_once_at_most_however_late_it_is() -> None:
    sent, got = exchange(64, 0.5, 1000, "singly")
    assert 0 < sent["sent"] <= 500
    assert got["received"] == sent["sent"]
    assert sent["bursts"] >= sent["sent"] / datagrams.AT_ONCE
    # More than it can do: it is always late.
    sent, _ = exchange(64, 0.2, 10_000_000, "singly")
    assert 0 <= sent["bursts"] - sent["sent"] / datagrams.AT_ONCE <= 1


def test_a_paced_sender_sends_in_bursts() -> None:
    sent, _ = exchange(64, 0.5, 20_000)
    # One a millisecond, at most.
    assert sent["bursts"] <= 500


def test_a_flood_is_counted_too() -> None:
    sent, got = exchange(1372, 0.2, 0)
    assert 0 < got["received"] <= sent["sent"]
    assert got["seconds"] > 0
