from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.samples import report, rows
from wirewright.bench import files
from wirewright.bench.plots import PANELS, why_no_plots
from wirewright.bench.results import Row
from wirewright.bench.workloads import WORKLOADS

MEASURED = [
    *rows("tcp-1", "bits_per_second", wirewright=(4e9, 3e9), wireguard_go=(2e9, 1e9), veth=(18e9, 20e9)),
    *rows("udp-64-paced", "cpu_per_packet", wirewright=3e-6, wireguard_go=30e-6),
]


def lines(page: str, start: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith(start)]


def test_a_page_tells_goals_medians_and_ratios() -> None:
    page = report(*MEASURED, rounds=2).as_markdown()
    (goal,) = lines(page, "| single-stream TCP | ≥ 1.5 × wireguard-go")
    assert goal.split(" | ")[2:] == ["2.50 (2.00 – 3.00)", "tcp-1", "reached |"]
    (row,) = lines(page, "| wirewright | 3.50 Gbit/s")
    assert row == "| wirewright | 3.50 Gbit/s (3.00 Gbit/s – 4.00 Gbit/s) | 2.50 |"
    assert lines(page, "| processor | Imagined 9000 |")
    assert lines(page, "| wireguard-go | 1.0 | wireguard-go as it is |")


def test_a_table_is_led_by_what_its_workload_is_about() -> None:
    paced = [Row(0, "udp-64-paced", "wirewright", {"packets_per_second": 30e3, "cpu_per_packet": 3e-6})]
    page = report(*paced).as_markdown()
    assert lines(page, "|  | engines' CPU a packet | packets delivered |")


def test_a_page_names_what_failed_and_what_was_absent() -> None:
    failure = Row(0, "tcp-1", "boringtun", failure="it ended\nwith a | in its words")
    page = report(*MEASURED, failure, absent={"gotatun": "gotatun is not installed"}).as_markdown()
    assert lines(page, "| boringtun under tcp-1, round 1 | it ended with a \\| in its words |")
    assert lines(page, "| gotatun | gotatun is not installed |")


def test_every_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    failure = Row(0, "rough-1", "boringtun", failure="it ended")
    table: list[str] = []
    for line in [*report(*MEASURED, failure).as_markdown().splitlines(), ""]:
        if line.startswith("|"):
            table.append(line)
            assert line.count(" |") == table[0].count(" |"), line
        else:
            table = []


def test_the_data_hold_every_row_and_every_median() -> None:
    data = json.loads(json.dumps(report(*MEASURED).as_data()))
    assert len(data["rows"]) == len(MEASURED)
    (median,) = (
        each for each in data["medians"] if (each["workload"], each["contestant"]) == ("tcp-1", "wirewright")
    )
    assert (median["median"], median["low"], median["high"]) == (3.5e9, 3e9, 4e9)
    assert median["ratio_to"]["wireguard-go"]["median"] == 2.5
    assert {goal["reached"] for goal in data["goals"]} == {True, None}


@pytest.mark.parametrize(
    ("rows_", "failed"),
    [
        (MEASURED, False),
        ([*MEASURED, Row(0, "tcp-8", "boringtun", failure="it ended")], False),
        ([*MEASURED, Row(0, "tcp-8", "wirewright", failure="it ended")], True),
        ([Row(0, "tcp-8", "boringtun", failure="it ended")], True),
        ([], True),
    ],
)
def test_a_run_fails_if_we_do_or_if_nothing_was_measured(rows_: list[Row], failed: bool) -> None:
    assert report(*rows_).has_failed is failed


def test_three_files_are_left(tmp_path: Path) -> None:
    assert why_no_plots() is None
    with files.place_for(tmp_path / "new" / "place"):
        written = files.write(report(*MEASURED, rounds=2), tmp_path / "new" / "place")
    assert [path.name for path in written] == ["results.json", "report.md", "report.png"]
    data, page, picture = written
    assert json.loads(data.read_text())["machine"]["processor"] == "Imagined 9000"
    assert "(report.png)" in page.read_text()
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_picture_can_be_drawn_of_nothing(tmp_path: Path) -> None:
    written = files.write(report(Row(0, "tcp-1", "wirewright", failure="it ended")), tmp_path)
    assert written[-1].read_bytes().startswith(b"\x89PNG")


def test_a_place_that_nothing_was_written_to_is_gone_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), files.place_for(tmp_path / "new"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_was_there_stays(tmp_path: Path) -> None:
    with files.place_for(tmp_path):
        pass
    assert tmp_path.is_dir()


def test_every_panel_shows_a_workload_that_there_is() -> None:
    assert {panel.workload for panel in PANELS} <= set(WORKLOADS)
