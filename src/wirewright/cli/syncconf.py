"""``ww syncconf``."""

from typing import Annotated

import typer

from wirewright.cli.completing import interfaces


def syncconf(
    interface: Annotated[
        str,
        typer.Argument(metavar="INTERFACE", help="The interface, or its file.", autocompletion=interfaces),
    ],
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help="A configuration file, or - for the standard input; if none is named, the interface's own "
            "in /etc/wireguard. What only wg-quick knows is ignored.",
        ),
    ] = None,
) -> None:
    """Have an interface say what a file says, changing only what differs.

    Sessions of peers that stay are not disturbed. A port or a mark that the file leaves open stays as it is;
    so does the endpoint of a peer whose section names none.
    """
    from wirewright.cli.system import part  # noqa: PLC0415 - loads the core
    from wirewright.tunnel.system import Interface  # noqa: PLC0415
    from wirewright.tunnel.system.files import find_file  # noqa: PLC0415

    own = find_file(interface)
    name = own.name.removesuffix(".conf")
    Interface(name).syncconf(part(str(own) if file is None else file))
