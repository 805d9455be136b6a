"""``ww addconf``."""

from typing import Annotated

import typer

from wirewright.cli.completing import interfaces


def addconf(
    interface: Annotated[
        str, typer.Argument(metavar="INTERFACE", help="The interface.", autocompletion=interfaces)
    ],
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A configuration file, or - for the standard input. What only wg-quick knows is ignored.",
        ),
    ],
) -> None:
    """Add what a file says to what an interface says, as wg does.

    The file need not have an [Interface] section. A peer that the interface has already gets the allowed IPs
    of the file and no others.
    """
    from wirewright.cli.system import part  # noqa: PLC0415 - loads the core
    from wirewright.tunnel.system import Interface  # noqa: PLC0415

    Interface(interface).addconf(part(file))
