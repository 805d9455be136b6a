"""What commands share: care with secrets on the standard output, and JSON."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import typer

from wirewright.cli.app import explain_error, explained


def descriptor_for_secret(remedy: str = "make the key again") -> int:
    """Give the standard output's descriptor; warn if it is a file that other users have a right to."""
    from wirewright.host.exposure import is_exposed  # noqa: PLC0415

    descriptor = sys.stdout.fileno()
    if is_exposed(descriptor):
        typer.echo("Warning: other users may read or write the file that a key goes to.", err=True)
        typer.echo(f"Run 'umask 077' first, and {remedy}.", err=True)
    return descriptor


def write_json(data: Mapping[str, object]) -> None:
    """Write data as JSON to the standard output."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))


@contextmanager
def json_errors(wanted: bool) -> Iterator[None]:
    """Where JSON is ``wanted``, turn an error that ends the command into JSON on the standard output.

    A mistake in the arguments stays one that is told in words.
    """
    try:
        yield
    except Exception as error:
        if not wanted or not explained(error) or getattr(error, "status", 1) == 2:
            raise
        write_json({"error": explain_error(error).removeprefix("ww: ")})
        raise typer.Exit(1) from None
