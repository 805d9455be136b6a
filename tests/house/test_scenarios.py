"""The table of what is tested in the lab names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

# They test the lab itself, and what measures in it.
TOOLS = {"test_bench.py", "test_lab.py", "test_topology.py"}


def scenarios(root: Path) -> list[tuple[str, str]]:
    """Each test that the table names: its file, its name."""
    return re.findall(r"`(test_\w+\.py)::(test_\w+)`", (root / "docs" / "lab.md").read_text())


def test_every_scenario_names_tests_that_exist(root: Path) -> None:
    named = scenarios(root)
    assert len(named) > 100
    absent = [
        (file, test)
        for file, test in named
        if not re.search(rf"^(?:async )?def {test}\(", (root / "tests" / "lab" / file).read_text(), re.M)
    ]
    assert absent == []


def test_every_file_of_scenarios_has_one_in_the_table(root: Path) -> None:
    files = {path.name for path in (root / "tests" / "lab").glob("test_*.py")}
    assert files - TOOLS == {file for file, _ in scenarios(root)}


def test_the_stalled_helper_is_tested_where_the_page_says(root: Path) -> None:
    page = (root / "docs" / "lab.md").read_text()
    [(file, test)] = re.findall(r"`(crates/\S+\.rs)`[^`]*\(`(\w+)`\)", page)
    assert f"fn {test}(" in (root / file).read_text()
