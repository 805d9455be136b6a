"""``ww pubkey``."""

import sys

import typer

from wirewright.cli.app import CommandError


def pubkey() -> None:
    """Read a private key and write its public key."""
    from wirewright.keys import SecretKey  # noqa: PLC0415 - loads the core

    if sys.stdin is None:
        raise CommandError("the standard input is closed")
    try:
        key = SecretKey.read(sys.stdin.fileno())
    except ValueError as error:
        raise CommandError(f"standard input: {error}; expected a key as `ww genkey` makes it") from None
    typer.echo(str(key.public_key))
