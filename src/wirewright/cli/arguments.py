"""Arguments that several commands take."""

from typing import Annotated, TypeAlias

import typer

from wirewright.cli.completing import interfaces

Existing: TypeAlias = Annotated[
    str, typer.Argument(metavar="INTERFACE", help="The interface.", autocompletion=interfaces)
]
"""An interface that is there, by its name."""
Part: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="A configuration file, or - for the standard input. What only wg-quick knows is ignored.",
    ),
]
"""A file of which not all need be there."""
