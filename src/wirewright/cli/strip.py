"""``ww strip``."""

import sys
from typing import Annotated

import typer

from wirewright.cli.completing import configurations
from wirewright.cli.output import descriptor_for_secret


def strip(
    interface: Annotated[
        str,
        typer.Argument(
            metavar="INTERFACE|FILE",
            help="A file that ends in .conf, the name of one in /etc/wireguard without the ending, or - for "
            "the standard input.",
            autocompletion=configurations,
        ),
    ],
) -> None:
    """Write a configuration without what only wg-quick knows, as wg takes it.

    The keys are in it: do not have it written where others can read.
    """
    from wirewright.config import Document  # noqa: PLC0415 - loads the core
    from wirewright.config.strip import stripped  # noqa: PLC0415
    from wirewright.tunnel.system.files import find_file  # noqa: PLC0415

    if interface in ("-", "/dev/stdin"):
        document = Document.from_file("/dev/stdin", "-")
    else:
        document = Document.from_file(find_file(interface))
    sys.stdout.flush()
    stripped(document).write_to(descriptor_for_secret("delete the file"))
