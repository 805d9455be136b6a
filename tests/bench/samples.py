"""Made-up results, as a run would leave them."""

from __future__ import annotations

from wirewright.bench.report import About, Report
from wirewright.bench.results import Results, Row
from wirewright.bench.workloads import WORKLOADS


def rows(workload: str, figure: str, **values: tuple[float, ...] | float) -> list[Row]:
    """One row a round and contestant; dashes in names are written as underscores."""
    made = []
    for name, value in values.items():
        rounds = value if isinstance(value, tuple) else (value,)
        contestant = name.replace("_", "-")
        made += [Row(number, workload, contestant, {figure: each}) for number, each in enumerate(rounds)]
    return made


def report(*measured: Row, **settings: object) -> Report:
    results = Results(measured)
    names = results.contestants()
    about = {name: About(WORKLOADS[name].title, WORKLOADS[name].main) for name in results.workloads()}
    values: dict[str, object] = {
        "results": results,
        "rounds": 1,
        "seconds": 5.0,
        "machine": {"processor": "Imagined 9000", "processors": "2", "kernel": "6.18"},
        "contestants": {name: f"{name} as it is" for name in names},
        "versions": dict.fromkeys(names, "1.0"),
        "workloads": about,
    }
    return Report(**(values | settings))  # type: ignore[arg-type]
