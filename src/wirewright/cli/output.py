"""What commands share: care with secrets on the standard output, and JSON."""

import json
import os
import stat
import sys
from collections.abc import Mapping

import typer

from wirewright.cli.app import CommandError


def descriptor_for_secret() -> int:
    """Give the standard output's descriptor; warn if it is a file that other users have a right to."""
    # Without a standard output Python has None for it, and the descriptor 1 may be any other file.
    if sys.stdout is None:
        raise CommandError("the standard output is closed")
    descriptor = sys.stdout.fileno()
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IRWXO:
        typer.echo("Warning: other users may read or write the file this key goes to.", err=True)
        typer.echo("Run 'umask 077' first, and make the key again.", err=True)
    return descriptor


def write_json(data: Mapping[str, object]) -> None:
    """Write data as JSON to the standard output."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
