"""How often a gateway looks at its peers."""

from __future__ import annotations

import pytest

from wirewright.gateway.watching import LOOKS, PERIOD, SHARE, Pace


def test_quick_looks_begin_so_often() -> None:
    pace = Pace()
    for _ in range(10):
        assert pace.pause(0.001, 0.1) == pytest.approx(PERIOD - 0.1)


def test_looks_that_are_slow_take_a_share_of_the_time_and_no_more() -> None:
    pace = Pace()
    for _ in range(LOOKS):
        pause = pace.pause(0.3, 0.3)
    assert pause == pytest.approx(SHARE * 0.3)


def test_one_look_that_waited_for_a_busy_machine_delays_no_other() -> None:
    pace = Pace()
    # Not even the first one.
    assert pace.pause(0.5, 0.5) <= 0
    for took in (0.002, 0.5, 0.001, 0.5, 0.5):
        assert pace.pause(took, 0.1) <= PERIOD


def test_who_has_few_peers_again_is_looked_at_often_again() -> None:
    pace = Pace()
    for _ in range(LOOKS):
        pace.pause(0.3, 0.3)
    assert pace.pause(0.001, 0.001) < PERIOD
