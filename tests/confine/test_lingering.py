"""How long the tunnel waits for what its command sent."""

from __future__ import annotations

import os
from pathlib import Path

from wirewright.confine.lingering import HANDSHAKE, LONGEST, SILENCE, Left, Lingering
from wirewright.confine.queues import Queues, send_queues

NOTHING = Left()


def waited(*looks: Left, step: float | None = None) -> float:
    """Tell after how many seconds it ends that finds these, and the last one from then on."""
    now, lingering = 100.0, Lingering(100.0)
    found = iter(looks)
    last = looks[-1]
    while (pause := lingering.pause(now, next(found, last))) is not None:
        now += step or pause
    return now - 100


def test_where_nothing_is_left_it_ends_at_once() -> None:
    assert waited(NOTHING) == 0
    assert waited(Left(1, 500), Left(is_queued=True), Left(staged=9), NOTHING) < 0.2


def test_looks_become_rarer_and_stay_frequent() -> None:
    lingering = Lingering(0)
    pauses = [lingering.pause(0, Left(1, 1)) for _ in range(20)]
    assert pauses[:3] == [0.01, 0.02, 0.04]
    assert pauses[-1] == 0.25


def test_silence_ends_it_and_progress_begins_it_anew() -> None:
    assert SILENCE <= waited(Left(1, 500)) < SILENCE + 1
    shrinking = [Left(1, size) for size in range(500, 460, -1)]
    assert SILENCE + 8 < waited(*shrinking) < SILENCE + 10
    # More is no progress, and what was there before is none.
    swinging = [Left(1, size) for size in (500, 600) * 100]
    assert SILENCE <= waited(*swinging) < SILENCE + 1


def test_what_waits_for_a_session_has_the_time_of_two_handshakes() -> None:
    assert HANDSHAKE <= waited(Left(staged=100)) < HANDSHAKE + 1
    assert SILENCE <= waited(Left(1, 1, staged=100)) < SILENCE + 1


def test_progress_without_end_ends() -> None:
    crawling = [Left(1, size) for size in range(100_000, 90_000, -1)]
    assert LONGEST <= waited(*crawling) < LONGEST + 1


def test_time_in_which_the_process_was_stopped_is_nobodys_silence() -> None:
    assert waited(Left(1, 500), Left(1, 500), Left(1, 500), NOTHING, step=3600) == 3 * 3600


def test_what_did_not_arrive_is_told() -> None:
    assert str(Left(1, 500)) == "not all that was sent on 1 connection has arrived"
    assert str(Left(2, 500, staged=3)) == "not all that was sent on 2 connections has arrived"
    assert "a peer did not answer" in str(Left(staged=3))


HEAD = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


OTHER, THIRD = "0300070A:1B58", "0400070A:1B58"


def row(state: str, waits: int, remote: str = "0200070A:1B58") -> bytes:
    return (
        f"   0: 0100070A:9C40 {remote} {state} {waits:08X}:00000000 00:00000000 00000000 0 0 0 1\n".encode()
    )


def test_send_queues_are_read_of_connections_that_have_something_to_send() -> None:
    for state in ("01", "04", "08", "09", "0B"):
        assert list(send_queues(HEAD + row(state, 300) + row(state, 0, OTHER)).values()) == [300]
    # SYN-SENT, TIME-WAIT, LISTEN.
    for state in ("02", "06", "0A"):
        assert send_queues(HEAD + row(state, 1)) == {}


def test_a_connection_within_the_host_does_not_need_the_tunnel() -> None:
    assert send_queues(HEAD + row("04", 300, "0100070A:1B58")) == {}


class FakeEngine:
    def __init__(self) -> None:
        self.staged = 0

    def staged_bytes(self) -> int:
        return self.staged


def test_all_three_queues_are_looked_at_again_and_again(tmp_path: Path) -> None:
    table = tmp_path / "tcp"
    engine = FakeEngine()
    reading, writing = os.pipe()
    descriptor = os.open(table, os.O_RDONLY | os.O_CREAT)
    queues = Queues([descriptor], reading, engine)
    try:
        table.write_bytes(HEAD + row("04", 300) + row("09", 20, OTHER))
        os.write(writing, b"!")
        engine.staged = 7
        assert queues.look() == Left(2, 320, is_queued=True, staged=7)
        os.read(reading, 1)
        engine.staged = 0
        table.write_bytes(HEAD + row("05", 0) + row("09", 20, OTHER))
        assert queues.look() == Left(1, 20)
        # One that has emptied its queue, or is new, belongs to a process that goes on.
        table.write_bytes(HEAD + row("01", 300) + row("01", 50, THIRD))
        assert not queues.look()
    finally:
        for each in (descriptor, reading, writing):
            os.close(each)


def test_without_tables_the_other_queues_count() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"!")
    assert Queues([], reading, FakeEngine()).look() == Left(is_queued=True)
    os.close(reading)
    os.close(writing)
