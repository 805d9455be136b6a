"""Measures everyone under every workload, in rounds whose order turns."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from wirewright.bench.arena import open_arena
from wirewright.bench.choice import Choice
from wirewright.bench.contestants import Contestant
from wirewright.bench.errors import BenchError
from wirewright.bench.machine import describe, versions
from wirewright.bench.report import About, Report
from wirewright.bench.results import Results, Row
from wirewright.bench.workloads import Workload
from wirewright.lab import LabError

Step = tuple[int, Workload, Contestant]


def schedule(contestants: Sequence[Contestant], workloads: Sequence[Workload], rounds: int) -> Iterator[Step]:
    """Yield every measurement in its turn.

    In each round a workload is run for all before the next, so that those that are compared follow each
    other. Who begins changes with each workload and each round, so that place favours none.
    """
    for number in range(rounds):
        for place, workload in enumerate(workloads):
            able = [each for each in contestants if each.kind in workload.kinds]
            for turn in range(len(able)):
                yield number, workload, able[(turn + number + place) % len(able)]


def measure(step: Step, seconds: float) -> Row:
    """Measure one contestant under one workload; a failure is a result, too."""
    number, workload, contestant = step
    # The weather is the same for all in a round, and another in the next.
    weather = replace(workload.weather, seed=number + 1) if workload.weather else None
    try:
        with open_arena(contestant, weather) as arena:
            figures = workload.measure(arena, seconds)
    except (BenchError, LabError, OSError) as error:
        return Row(number, workload.name, contestant.name, failure=str(error))
    return Row(number, workload.name, contestant.name, figures)


def compare(
    choice: Choice, rounds: int, seconds: float, begin: Callable[[Step], None], tell: Callable[[Row], None]
) -> Report:
    """Measure all that was chosen; each step is told when it begins, and its row when there is one."""
    machine = describe()
    results = Results()
    for step in schedule(choice.contestants, choice.workloads, rounds):
        begin(step)
        row = measure(step, seconds)
        results.rows.append(row)
        tell(row)
    return Report(
        results=results,
        rounds=rounds,
        seconds=seconds,
        machine=machine,
        contestants={each.name: each.how for each in choice.contestants},
        versions=versions(choice.contestants),
        workloads={each.name: About(each.title, each.main) for each in choice.workloads},
        absent=choice.absent,
    )
