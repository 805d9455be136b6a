"""``ww run``."""

from pathlib import Path
from typing import Annotated

import typer

from wirewright.cli.app import CommandError


def run(
    conf: Annotated[
        Path, typer.Argument(metavar="CONF", readable=False, help="A wg-quick configuration file.")
    ],
    command: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND", help="The command, with its arguments; -- before it, if you like."),
    ],
) -> None:
    """Run a command inside a tunnel, without root.

    It has no other network, and it ends if the tunnel's process does. Nothing of the host is changed, no hook
    is run. When it has ended, the tunnel stays until what it sent has arrived: for 10 s without progress, and
    for 5 min at most; CTRL-C ends that at once. What it left in the background has no network then.

    Exits as the command does, or with 128 and the number of the signal that ended it; with 127 if there is no
    such command, 126 if it cannot be executed, and 125 if the tunnel cannot be had or is lost.
    """
    from wirewright.confine import ConfineError  # noqa: PLC0415 - loads more than other commands need
    from wirewright.confine import run as run_inside  # noqa: PLC0415

    words = command[1:] if command[0] == "--" else command
    if not words:
        raise typer.BadParameter("no command follows --")
    try:
        status = run_inside(conf, words, lambda text: typer.echo(f"ww: {text}", err=True))
    except ConfineError as error:
        raise CommandError(str(error), error.status) from None
    raise typer.Exit(status)
