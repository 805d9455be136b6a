from __future__ import annotations

import pytest

from tests.bench.samples import rows
from wirewright.bench.figures import FIGURES
from wirewright.bench.goals import Verdict, verdicts
from wirewright.bench.results import Results, Row, Spread

TCP = ("tcp-1", "bits_per_second")


def verdict(results: Results, goal: str, against: str) -> Verdict:
    (found,) = (each for each in verdicts(results) if (each.goal, each.against) == (goal, against))
    return found


def test_a_median_has_its_spread() -> None:
    results = Results(rows(*TCP, wirewright=(3.0, 1.0, 2.0)))
    assert results.of("tcp-1", "wirewright", "bits_per_second") == Spread(2.0, 1.0, 3.0, 3)


def test_a_ratio_is_taken_within_each_round() -> None:
    # In the second round the machine was four times slower for both.
    results = Results(rows(*TCP, wirewright=(8.0, 2.0, 9.0), wireguard_go=(4.0, 1.0, 3.0)))
    ratio = results.ratio("tcp-1", "bits_per_second", "wirewright", "wireguard-go")
    assert ratio == Spread(2.0, 2.0, 3.0, 3)


def test_a_round_in_which_one_failed_gives_no_ratio() -> None:
    results = Results(
        [
            *rows(*TCP, wirewright=(8.0, 2.0), wireguard_go=4.0),
            Row(1, "tcp-1", "wireguard-go", failure="it ended"),
        ]
    )
    ratio = results.ratio("tcp-1", "bits_per_second", "wirewright", "wireguard-go")
    assert ratio == Spread(2.0, 2.0, 2.0, 1)
    assert [row.failure for row in results.failures()] == ["it ended"]


def test_nothing_is_divided_by_nothing() -> None:
    results = Results(rows("ping-idle", "loss", wirewright=0.1, wireguard_go=0.0))
    assert results.ratio("ping-idle", "loss", "wirewright", "wireguard-go") is None


def test_a_goal_is_reached_at_its_ratio_and_missed_below() -> None:
    exact = Results(rows(*TCP, wirewright=3.0, wireguard_go=2.0))
    assert verdict(exact, "single-stream TCP", "wireguard-go").reached is True
    below = Results(rows(*TCP, wirewright=2.9, wireguard_go=2.0))
    assert verdict(below, "single-stream TCP", "wireguard-go").reached is False


def test_a_goal_that_was_not_measured_is_neither() -> None:
    results = Results(rows(*TCP, wirewright=3.0))
    assert {each.reached for each in verdicts(results)} == {None}


def test_of_both_directions_the_worse_counts() -> None:
    results = Results(
        [
            *rows(*TCP, wirewright=9.0, wireguard_go=2.0),
            *rows("tcp-1-back", "bits_per_second", wirewright=2.0, wireguard_go=2.0),
        ]
    )
    found = verdict(results, "single-stream TCP", "wireguard-go")
    assert (found.workload, found.reached) == ("tcp-1-back", False)


@pytest.mark.parametrize(
    ("goal", "loop", "enough"),
    [
        ("the bare loop, single-stream TCP", "loop", 50.0),
        ("the bare loop with the cipher, the same", "loop-aead", 22.0),
    ],
)
def test_the_ceiling_must_itself_reach_its_share_of_the_wire(goal: str, loop: str, enough: float) -> None:
    def measured(value: float) -> Results:
        workload, figure = TCP
        values = {loop: value, "veth": 100.0}
        return Results(rows(workload, figure, **values))

    assert verdict(measured(enough), goal, "veth").reached is True
    assert verdict(measured(enough - 1), goal, "veth").reached is False
    assert verdict(measured(enough - 1), goal, "veth").workload == "tcp-1"


def test_of_costs_the_highest_counts() -> None:
    results = Results(
        [
            *rows("tcp-1", "peak_memory", wirewright=1.0, wireguard_go=2.0),
            *rows("udp-64", "peak_memory", wirewright=3.0, wireguard_go=2.0),
        ]
    )
    found = verdict(results, "memory under load", "wireguard-go")
    assert (found.workload, found.reached) == ("udp-64", False)


def test_the_same_is_not_below() -> None:
    results = Results(rows("tcp-1", "cpu_per_gigabyte", wirewright=2.0, gotatun=2.0))
    assert verdict(results, "engines' CPU a GB", "gotatun").reached is False


def test_system_calls_are_compared_with_ourselves_without_offloads() -> None:
    calls = rows("system-calls", "system_calls_per_gigabyte", wirewright=10.0, wirewright_plain=100.0)
    found = verdict(Results(calls), "fewer system calls than without offloads", "wirewright-plain")
    assert found.reached is True
    assert found.measured is not None
    assert found.measured.median == 10.0


@pytest.mark.parametrize(
    ("goal", "workload"),
    [
        ("engines' CPU a small packet", "udp-64-paced"),
        ("the same, packets one by one", "udp-64-single"),
        ("the same, as fast as it goes", "udp-64"),
    ],
)
def test_a_small_packet_must_be_cheap_whether_it_comes_in_a_burst_or_not(goal: str, workload: str) -> None:
    results = Results(rows(workload, "cpu_per_packet", wirewright=3.0, wireguard_go=5.0))
    assert verdict(results, goal, "wireguard-go").reached is False
    others = [each for each in verdicts(results) if "small packet" in each.goal or "the same, " in each.goal]
    assert [each.workload for each in others if each.measured] == [workload]


@pytest.mark.parametrize(
    ("figure", "value", "shown"),
    [
        ("bits_per_second", 4.62e9, "4.62 Gbit/s"),
        ("bits_per_second", 53.7e6, "53.7 Mbit/s"),
        ("packets_per_second", 208_728.4, "208,728/s"),
        ("loss", 0.0, "0%"),
        ("loss", 0.0011, "0.11%"),
        ("cpu_per_packet", 2.674e-6, "2.67 µs"),
        ("round_trip_median", 0.000017, "0.017 ms"),
        ("peak_memory", 135 * 2**20, "135 MiB"),
        ("system_calls_per_gigabyte", 142_512, "142,512"),
    ],
)
def test_a_figure_is_shown_with_three_digits_and_its_unit(figure: str, value: float, shown: str) -> None:
    assert FIGURES[figure].show(value) == shown
