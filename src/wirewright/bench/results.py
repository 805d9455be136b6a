"""What was measured, as values: rows, their medians, and ratios between contestants.

A ratio is taken within a round, whose measurements of one workload follow each other directly, so that what
disturbs the machine for minutes disturbs both sides. The median of these ratios is what counts.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One contestant under one workload in one round: its figures, or why there are none."""

    round: int
    workload: str
    contestant: str
    figures: Mapping[str, float] = field(default_factory=dict)
    failure: str | None = None


@dataclass(frozen=True)
class Spread:
    """What several rounds gave: the median, and how far they lie apart."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return that of some values, of which there is at least one."""
        return cls(statistics.median(values), min(values), max(values), len(values))


class Results:
    """Rows, and what can be asked of them."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        """Begin with these rows."""
        self.rows = list(rows)

    def workloads(self) -> list[str]:
        """Return those that were run, in their order."""
        return list(dict.fromkeys(row.workload for row in self.rows))

    def contestants(self) -> list[str]:
        """Return those that ran, in the order of the first round."""
        return list(dict.fromkeys(row.contestant for row in self.rows))

    def figures(self, workload: str) -> list[str]:
        """Return which figures there are of a workload."""
        rows = (row for row in self.rows if row.workload == workload)
        return list(dict.fromkeys(name for row in rows for name in row.figures))

    def of(self, workload: str, contestant: str, figure: str) -> Spread | None:
        """Return what the rounds gave, if any gave something."""
        values = self._by_round(workload, contestant, figure)
        return Spread.of(list(values.values())) if values else None

    def ratio(self, workload: str, figure: str, contestant: str, other: str) -> Spread | None:
        """Return how many times the other's figure the contestant's is, round by round."""
        ours, theirs = (self._by_round(workload, name, figure) for name in (contestant, other))
        ratios = [ours[number] / theirs[number] for number in ours if theirs.get(number)]
        return Spread.of(ratios) if ratios else None

    def failures(self) -> list[Row]:
        """Return the rows without figures."""
        return [row for row in self.rows if row.failure is not None]

    def _by_round(self, workload: str, contestant: str, figure: str) -> dict[int, float]:
        return {
            row.round: row.figures[figure]
            for row in self.rows
            if (row.workload, row.contestant) == (workload, contestant) and figure in row.figures
        }
