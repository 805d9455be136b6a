"""What the commands for system interfaces share."""

import typer

from wirewright.cli.app import CommandError
from wirewright.config import Config
from wirewright.host.engine import EngineChoice
from wirewright.tunnel.system import Interface

ENGINES: dict[str, EngineChoice] = {"auto": "auto", "kernel": "kernel", "wirewright": "wirewright"}


def opened(interface: str, engine: str) -> Interface:
    """Give the interface that an argument names, with its file."""
    if engine not in ENGINES:
        raise CommandError(f"there is no engine {engine!r}; there are: {', '.join(ENGINES)}", status=2)
    return Interface.from_file(interface, engine=ENGINES[engine])


def shown(step: str) -> None:
    """Show a step on the standard error, as ``wg-quick`` does."""
    typer.echo(f"[#] {step}", err=True)


def part(file: str) -> Config:
    """Read a file of which not all need be there, or the standard input."""
    return Config.from_part("/dev/stdin", "-") if file == "-" else Config.from_part(file)
