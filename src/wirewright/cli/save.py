"""``ww save``."""

from typing import Annotated

import typer

from wirewright.cli.completing import interfaces


def save(
    interface: Annotated[
        str,
        typer.Argument(
            metavar="INTERFACE|FILE",
            help="The name of the interface, or the file it was set up from.",
            autocompletion=interfaces,
        ),
    ],
) -> None:
    """Write the state of an interface into its file, as wg-quick does.

    Comments, hooks and what else is not of the interface itself stay. The file is replaced as a whole or not
    at all, and only its owner can read it.
    """
    from wirewright.tunnel.system import Interface  # noqa: PLC0415 - loads the core

    Interface.existing(interface).save()
