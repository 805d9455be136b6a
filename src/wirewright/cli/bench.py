"""``ww bench``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wirewright.cli.app import CommandError
from wirewright.cli.output import json_errors, write_json

if TYPE_CHECKING:
    from wirewright.bench import Choice, Report, Row, Step


def bench(  # noqa: PLR0917 - Typer's way to say what the arguments are
    rounds: Annotated[int, typer.Option("--rounds", min=1, max=100, help="How often each is measured.")] = 3,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, max=600, help="Seconds that each measurement lasts.")
    ] = 5,
    contestants: Annotated[
        str,
        typer.Option("--contestants", metavar="A,B", help="Who is measured; by default all that are there."),
    ] = "",
    workloads: Annotated[
        str, typer.Option("--workloads", metavar="X,Y", help="What is measured; by default everything.")
    ] = "",
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="Where the report is written.")
    ] = Path("wirewright-bench"),
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON when done, and nothing else.")] = False,
) -> None:
    """Compare system tunnels on this machine: throughput, cost, latency, memory.

    Everyone runs in the same lab of namespaces, in turns. Takes root, and an otherwise idle machine. Exits
    with 1 if nothing could be measured, or if wirewright failed under a workload.
    """
    from wirewright.bench import place_for, write  # noqa: PLC0415 - only this command

    with json_errors(as_json), _explained():
        choice = _choose(contestants, workloads)
        with place_for(output):
            report = _measure(choice, rounds, seconds, quiet=as_json)
            written = write(report, output)
    if as_json:
        write_json(report.as_data())
    else:
        _show(report, written)
    if report.has_failed:
        raise typer.Exit(1)


@contextmanager
def _explained() -> Iterator[None]:
    from wirewright.bench import BenchError, UnknownNameError  # noqa: PLC0415
    from wirewright.lab import LabError  # noqa: PLC0415

    try:
        yield
    except UnknownNameError as error:
        raise typer.BadParameter(str(error)) from None
    except (BenchError, LabError) as error:
        raise CommandError(str(error)) from None


def _choose(contestants: str, workloads: str) -> "Choice":
    from wirewright.bench import choose  # noqa: PLC0415

    return choose(_names("--contestants", contestants), _names("--workloads", workloads))


def _names(option: str, words: str) -> list[str]:
    names = [name for name in words.split(",") if name]
    if words and not names:
        raise typer.BadParameter(f"{option} names nobody: {words!r}")
    return names


def _measure(choice: "Choice", rounds: int, seconds: float, *, quiet: bool) -> "Report":
    from rich.console import Console  # noqa: PLC0415 - only this command draws
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    from wirewright.bench import compare, schedule  # noqa: PLC0415
    from wirewright.bench.plots import why_no_plots  # noqa: PLC0415

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True, highlight=False), disable=quiet) as progress:

        def say(text: str) -> None:
            if not quiet:
                progress.console.print(text, markup=False, soft_wrap=True)

        for caution in (*choice.cautions(), why_no_plots()):
            if caution:
                say(caution)
        total = sum(1 for _ in schedule(choice.contestants, choice.workloads, rounds))
        bar = progress.add_task("", total=total)

        def begin(step: "Step") -> None:
            _, workload, contestant = step
            progress.update(bar, description=f"{workload.name} {contestant.name}")

        def tell(row: "Row") -> None:
            progress.advance(bar)
            say(_line(row))

        return compare(choice, rounds, seconds, begin, tell)


def _line(row: "Row") -> str:
    from wirewright.bench.figures import FIGURES  # noqa: PLC0415

    if row.failure is not None:
        told = f"failed: {row.failure}"
    else:
        told = ", ".join(
            f"{FIGURES[name].title} {FIGURES[name].show(value)}" for name, value in row.figures.items()
        )
    return f"{row.round + 1}  {row.workload:<12}  {row.contestant:<16}  {told}"


def _show(report: "Report", written: list[Path]) -> None:
    from wirewright.bench.report import told_goals  # noqa: PLC0415

    for line in told_goals(report.verdicts):
        typer.echo(line)
    typer.echo(f"written: {', '.join(map(str, written))}")
