"""The table of what is tested in the lab names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path


def test_every_scenario_names_tests_that_exist(root: Path) -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (root / "docs" / "lab.md").read_text())
    assert len(named) > 40
    absent = [
        (file, test)
        for file, test in named
        if f"\ndef {test}(" not in (root / "tests" / "lab" / file).read_text()
    ]
    assert absent == []


def test_the_stalled_helper_is_tested_where_the_page_says(root: Path) -> None:
    page = (root / "docs" / "lab.md").read_text()
    [(file, test)] = re.findall(r"`(crates/\S+\.rs)`[^`]*\(`(\w+)`\)", page)
    assert f"fn {test}(" in (root / file).read_text()
