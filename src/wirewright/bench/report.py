"""Results as JSON for programs and as Markdown for people."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wirewright.bench.figures import FIGURES, three_digits
from wirewright.bench.goals import BELOW, CEILING, GO, OURS, Verdict, verdicts
from wirewright.bench.results import Results, Spread

REFERENCES = (GO, CEILING)
"""Those whose figures others are compared with."""


@dataclass(frozen=True)
class About:
    """What a workload is, and which of its figures matters most."""

    title: str
    main: str


@dataclass(frozen=True)
class Report:
    """All that is known of a run."""

    results: Results
    rounds: int
    seconds: float
    machine: Mapping[str, str]
    contestants: Mapping[str, str]
    """How each was run."""
    versions: Mapping[str, str]
    workloads: Mapping[str, About]
    absent: Mapping[str, str] = field(default_factory=dict)
    """Contestants and workloads that could not be had, and why."""

    @property
    def verdicts(self) -> list[Verdict]:
        """What was to be reached, and whether it was."""
        return verdicts(self.results)

    @property
    def has_failed(self) -> bool:
        """Whether nothing was measured, or we ourselves failed somewhere."""
        failures = self.results.failures()
        return len(failures) == len(self.results.rows) or any(row.contestant == OURS for row in failures)

    def as_data(self) -> dict[str, Any]:
        """Return what is written as JSON: values in bits, seconds, bytes and packets."""
        return {
            "machine": dict(self.machine),
            "settings": {"rounds": self.rounds, "seconds": self.seconds},
            "contestants": {
                name: {"how": how, "version": self.versions.get(name)}
                for name, how in self.contestants.items()
            },
            "workloads": {name: about.title for name, about in self.workloads.items()},
            "absent": dict(self.absent),
            "goals": [_goal_data(verdict) for verdict in self.verdicts],
            "medians": list(self._medians()),
            "rows": [
                {
                    "round": row.round,
                    "workload": row.workload,
                    "contestant": row.contestant,
                    "figures": dict(row.figures),
                    "failure": row.failure,
                }
                for row in self.results.rows
            ],
        }

    def as_markdown(self) -> str:
        """Return the report as a page."""
        parts = ["# Tunnels compared", *self._preface(), *self._goals()]
        for workload in self.results.workloads():
            parts.extend(self._workload(workload))
        parts.extend(self._gaps())
        return "\n\n".join(parts) + "\n"

    def _medians(self) -> Iterator[dict[str, Any]]:
        results = self.results
        for workload in results.workloads():
            for figure in results.figures(workload):
                for contestant in results.contestants():
                    spread = results.of(workload, contestant, figure)
                    if spread is None:
                        continue
                    ratios = {
                        other: vars(ratio)
                        for other in REFERENCES
                        if other != contestant
                        and (ratio := results.ratio(workload, figure, contestant, other))
                    }
                    yield {
                        "workload": workload,
                        "figure": figure,
                        "contestant": contestant,
                        **vars(spread),
                        "ratio_to": ratios,
                    }

    def _preface(self) -> Iterator[str]:
        rounds = f"{self.rounds} round{'s' * (self.rounds != 1)}"
        yield (
            f"Medians of {rounds} of {self.seconds:g} s each, in which everyone takes turns; in brackets the "
            "lowest and the highest. Ratios are taken within each round, and their median is shown. Compare "
            "within a table: figures of another run, or another machine, are not comparable."
        )
        yield table(["the machine", ""], [[name, value] for name, value in self.machine.items()], "ll")
        yield table(
            ["contestant", "version", "how"],
            [[name, self.versions.get(name, ""), how] for name, how in self.contestants.items()],
            "lll",
        )

    def _goals(self) -> Iterator[str]:
        yield "## To reach"
        rows = [goal_cells(verdict) for verdict in self.verdicts]
        yield table(["what", "to reach", "measured", "under", "verdict"], rows, "llrll")

    def _workload(self, workload: str) -> Iterator[str]:
        results = self.results
        about = self.workloads[workload]
        yield f"## {workload}: {about.title}"
        measured = results.figures(workload)
        if not measured:
            return
        main = about.main
        figures = [main, *(name for name in FIGURES if name in measured and name != main)]
        present = results.contestants()
        others = [name for name in REFERENCES if name in present and results.of(workload, name, main)]
        rows = []
        for contestant in present:
            spreads = [results.of(workload, contestant, name) for name in figures]
            if not any(spreads):
                continue
            ratios = [results.ratio(workload, main, contestant, other) for other in others]
            first, *rest = [_cell(name, spread) for name, spread in zip(figures, spreads, strict=True)]
            rows.append([contestant, first, *map(_factor, ratios), *rest])
        titles = [FIGURES[name].title for name in figures]
        head = ["", titles[0], *(f"× {other}" for other in others), *titles[1:]]
        yield table(head, rows, "l" + "r" * (len(head) - 1))

    def _gaps(self) -> Iterator[str]:
        gaps = [[name, why] for name, why in self.absent.items()]
        gaps += [
            [f"{row.contestant} under {row.workload}, round {row.round + 1}", row.failure or ""]
            for row in self.results.failures()
        ]
        if gaps:
            yield "## What is missing"
            yield table(["what", "why"], gaps, "ll")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    """Write a table in Markdown; ``align`` has an l or an r for each column."""
    marks = ["-:" if letter == "r" else "-" for letter in align]
    lines = [head, marks, *rows]
    return "\n".join(f"| {' | '.join(map(_one_line, line))} |" for line in lines)


def told_goals(verdicts: Sequence[Verdict]) -> list[str]:
    """Write the goals in columns, for a terminal."""
    rows = [goal_cells(verdict) for verdict in verdicts]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def goal_cells(verdict: Verdict) -> list[str]:
    """Tell what was to be reached, what was measured, under which workload, and whether that is enough."""
    measured = "" if verdict.measured is None else _times(verdict.measured)
    said = {True: "reached", False: "MISSED", None: "not measured"}[verdict.reached]
    return [verdict.goal, wanted(verdict), measured, verdict.workload, said]


def wanted(verdict: Verdict) -> str:
    """Say what is to be reached."""
    if verdict.least is not None:
        return f"≥ {verdict.least:g} × {verdict.against}"
    if verdict.most == BELOW:
        return f"below {verdict.against}"
    return f"≤ {verdict.most:g} × {verdict.against}"


def _goal_data(verdict: Verdict) -> dict[str, Any]:
    measured = None if verdict.measured is None else vars(verdict.measured)
    return {**vars(verdict), "measured": measured, "reached": verdict.reached}


def _cell(figure: str, spread: Spread | None) -> str:
    if spread is None:
        return ""
    show = FIGURES[figure].show
    if spread.rounds == 1:
        return show(spread.median)
    return f"{show(spread.median)} ({show(spread.low)} – {show(spread.high)})"


def _factor(spread: Spread | None) -> str:
    return "" if spread is None else three_digits(spread.median)


def _times(spread: Spread) -> str:
    if spread.rounds == 1:
        return three_digits(spread.median)
    return f"{three_digits(spread.median)} ({three_digits(spread.low)} – {three_digits(spread.high)})"


def _one_line(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
