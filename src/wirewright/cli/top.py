"""``ww top``."""

import itertools
import json
import signal
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from wirewright.cli.app import CommandError
from wirewright.cli.completing import interfaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from wirewright.tunnel.system.picture import Frame
    from wirewright.tunnel.system.rates import View

SORTS = ("rate", "session", "received", "sent", "none")


def top(
    interface: Annotated[
        str | None,
        typer.Argument(
            metavar="INTERFACE", help="One interface; all, if none is named.", autocompletion=interfaces
        ),
    ] = None,
    interval: Annotated[
        float, typer.Option("-n", "--interval", min=0.1, help="Seconds from one look to the next.")
    ] = 1.0,
    sort: Annotated[
        str, typer.Option("--sort", metavar="|".join(SORTS), help="What peers are sorted by; the most first.")
    ] = "rate",
    count: Annotated[
        int | None, typer.Option("-c", "--count", min=1, help="End after that many looks.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write a line of JSON for each look.")] = False,
) -> None:
    """Watch interfaces: their peers, how much they send and receive, and what is dropped and why.

    Goes on until it is interrupted. Where the output is no terminal, it is written once.
    """
    if sort not in SORTS:
        raise CommandError(f"peers cannot be sorted by {sort!r}, but by {', '.join(SORTS)}", status=2)
    from wirewright.tunnel.system.watching import look, views  # noqa: PLC0415 - loads the core

    # Whoever asks to end leaves by the way on which the terminal is put in order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    found = views(lambda: look(interface), interval)
    try:
        if as_json:
            _write_json(found, count)
        else:
            _show(found, count, sort)
    except KeyboardInterrupt:
        return


def _write_json(found: "Iterator[tuple[View, float]]", count: int | None) -> None:
    from wirewright.tunnel.system.watching import view_as_data  # noqa: PLC0415

    # The first look knows no rates.
    for view, seconds in itertools.islice(found, 1, count and count + 1):
        typer.echo(json.dumps(view_as_data(view, time.time(), seconds), ensure_ascii=False))
        sys.stdout.flush()


def _show(found: "Iterator[tuple[View, float]]", count: int | None, sort: str) -> None:
    from rich.console import Console  # noqa: PLC0415 - takes longer to load than the rest
    from rich.live import Live  # noqa: PLC0415

    from wirewright.tunnel.system.picture import Frame, picture  # noqa: PLC0415

    console = Console(highlight=False)
    if not console.is_terminal:
        for view, _ in itertools.islice(found, 1, (count or 1) + 1):
            console.print(picture(view, time.time(), Frame(console.width, sort)))
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for view, _ in itertools.islice(found, count and count + 1):
            live.update(picture(view, time.time(), _frame(console, view, sort)), refresh=True)


def _frame(console: "Console", view: "View", sort: str) -> "Frame":
    from wirewright.tunnel.system.picture import LINES, Frame  # noqa: PLC0415

    share = console.height // max(1, len(view.interfaces))
    return Frame(console.width, sort, max(1, share - LINES))
