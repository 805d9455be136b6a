"""Lists for people: a table on a terminal, lines with tabs where another program reads."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import typer

WIDE = 120
"""Columns of a terminal from which on a table has its wide columns too."""


def write_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    wide: Sequence[str] = (),
    whole: Sequence[str] = (),
) -> None:
    """Write rows. Those of the columns that are ``wide`` are left out where the terminal is narrow.

    Those that are ``whole`` are not wrapped, so that they can be copied.

    A value of several lines is written in one, with commas, where it is no terminal.
    """
    if not sys.stdout.isatty():
        for row in rows:
            typer.echo("\t".join(value.replace("\n", ",") for value in row))
        return
    from rich.console import Console  # noqa: PLC0415 - takes longer to load than the rest
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    shown = [number for number, name in enumerate(columns) if console.width >= WIDE or name not in wide]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number in shown:
        table.add_column(columns[number], overflow="fold", no_wrap=columns[number] in whole)
    for row in rows:
        table.add_row(*(Text(row[number]) for number in shown))
    console.print(table)


def is_narrow() -> bool:
    """Whether it is a terminal with no room for wide columns."""
    return sys.stdout.isatty() and shutil.get_terminal_size().columns < WIDE


def write_record(fields: Sequence[tuple[str, str]]) -> None:
    """Write one thing, a field on each line; a value of several lines stands below itself."""
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        first, *rest = value.split("\n")
        typer.echo(f"{typer.style(f'{name:<{width}}', bold=True)}  {first}")
        for line in rest:
            typer.echo(f"{'':<{width}}  {line}")


def when(text: object) -> str:
    """Return a time of the API's in the zone of this machine; a dash for none."""
    if not isinstance(text, str):
        return "-"
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def ago(text: object) -> str:
    """Return how long ago a time of the API's is."""
    if not isinstance(text, str):
        return "never"
    seconds = max(0, int((datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()))
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit} {name} ago"
    return f"{seconds} s ago"
