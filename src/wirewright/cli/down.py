"""``ww down``."""

from typing import Annotated

import typer

from wirewright.cli.completing import interfaces

WITHOUT_FILE = (
    "Warning: the file is passed over, so that its commands (PreDown, PostDown) are not run, and nothing is "
    "saved (SaveConfig)."
)


def down(
    interface: Annotated[
        str,
        typer.Argument(
            metavar="INTERFACE|FILE",
            help="The name of the interface, or the file it was set up from.",
            autocompletion=interfaces,
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing: write what would be done.")
    ] = False,
) -> None:
    """Take a WireGuard interface down, as wg-quick does.

    The commands of its file (PreDown, PostDown) are run, if there is a file; one that has a mistake is told,
    and the interface taken down without them.
    """
    from wirewright.cli.system import shown  # noqa: PLC0415 - loads the core
    from wirewright.tunnel.system import Interface  # noqa: PLC0415

    found = Interface.existing(interface)
    if found.problem is not None:
        typer.echo(f"{found.problem}\n{WITHOUT_FILE}", err=True)
    if dry_run:
        for step in found.steps_down():
            typer.echo(step)
    else:
        found.down(shown)
