"""Long tests begin first, each worker's at the head of its piece."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.order import LONG, long_first

ROOT = Path("/house")


@dataclass(frozen=True)
class Item:
    path: Path
    number: int = 0


SHORT = [Item(ROOT / f"tests/{letter}.py", number) for letter in "az" for number in range(50)]
LONGEST = [Item(ROOT / file, number) for files in LONG for file in files for number in range(3)]
# As they are collected: between others, by name.
COLLECTED = sorted([*SHORT, *LONGEST], key=lambda item: str(item.path))


def pieces(items: list[Item], workers: int) -> list[list[Item]]:
    """What xdist gives to each worker for a start."""
    given = []
    for left in range(workers, 0, -1):
        given.append(items[: len(items) // left])
        items = items[len(items) // left :]
    return given


def test_the_long_ones_exist(root: Path) -> None:
    assert [file for files in LONG for file in files if not (root / file).is_file()] == []


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 7, 32, 200])
def test_every_test_is_there_once(workers: int) -> None:
    ordered = long_first(COLLECTED, workers, ROOT)
    assert len(ordered) == len(COLLECTED)
    assert set(ordered) == set(COLLECTED)
    short = [item for item in ordered if item in SHORT]
    assert short == SHORT


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 7])
def test_each_worker_begins_with_other_long_ones(workers: int) -> None:
    given = pieces(long_first(COLLECTED, workers, ROOT), workers)
    heads = [[item for item in piece if item in LONGEST] for piece in given]
    for piece, head in zip(given, heads, strict=True):
        assert piece[: len(head)] == head
    for number, files in enumerate(LONG):
        group = [item for file in files for item in LONGEST if item.path == ROOT / file]
        head = heads[number % workers]
        at = head.index(group[0])
        assert head[at : at + len(group)] == group


def test_few_that_are_asked_for_are_all_there() -> None:
    few = LONGEST[:5]
    assert sorted(long_first(few, 4, ROOT), key=few.index) == few
    assert long_first([], 4, ROOT) == []
