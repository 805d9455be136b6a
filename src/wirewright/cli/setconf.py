"""``ww setconf``."""

from typing import Annotated

import typer

from wirewright.cli.completing import interfaces


def setconf(
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
    """Have an interface say what a file says, and nothing else, as wg does.

    What does not stand in the file is unset, and all sessions end. To disturb no peer that stays as it is,
    use `ww syncconf`.
    """
    from wirewright.cli.system import part  # noqa: PLC0415 - loads the core
    from wirewright.tunnel.system import Interface  # noqa: PLC0415

    Interface(interface).setconf(part(file))
