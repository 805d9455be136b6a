"""Measures everyone under every workload, in rounds whose order turns."""

from collections.abc import Callable, Iterator, Sequence

from wirewright.bench.arena import open_arena
from wirewright.bench.contestants import Contestant
from wirewright.bench.errors import BenchError
from wirewright.bench.results import Results, Row
from wirewright.bench.workloads import Workload
from wirewright.lab import LabError

Step = tuple[int, Workload, Contestant]


def schedule(
    contestants: Sequence[Contestant], workloads: Sequence[Workload], rounds: int
) -> Iterator[Step]:
    """Yield every measurement in its turn.

    In each round a workload is run for all before the next, so that those that are compared follow each other.
    Who begins changes with each workload and each round, so that none always follows the same one's heat.
    """
    for number in range(rounds):
        for place, workload in enumerate(workloads):
            able = [each for each in contestants if each.is_engine or not _is_for_engines(workload)]
            for turn in range(len(able)):
                yield number, workload, able[(turn + number + place) % len(able)]


def measure(step: Step, seconds: float) -> Row:
    """Measure one contestant under one workload; a failure is a result, too."""
    number, workload, contestant = step
    try:
        with open_arena(contestant, workload.weather) as arena:
            figures = workload.measure(arena, seconds)
    except (BenchError, LabError, OSError) as error:
        return Row(number, workload.name, contestant.name, failure=str(error))
    return Row(number, workload.name, contestant.name, figures)


def run(
    contestants: Sequence[Contestant],
    workloads: Sequence[Workload],
    rounds: int,
    seconds: float,
    tell: Callable[[Row], None],
) -> Results:
    """Measure everything; each row is told as soon as there is one."""
    results = Results()
    for step in schedule(contestants, workloads, rounds):
        row = measure(step, seconds)
        results.rows.append(row)
        tell(row)
    return results


def _is_for_engines(workload: Workload) -> bool:
    """Whether what is no engine cannot take part: the bare loop takes every train to be whole."""
    return workload.engines_only or workload.weather is not None
