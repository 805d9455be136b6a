"""``ww up``."""

from pathlib import Path
from typing import Annotated

import typer

from wirewright.cli.completing import configurations


def up(
    interface: Annotated[
        str,
        typer.Argument(
            metavar="INTERFACE|FILE",
            help="A file that ends in .conf, or the name of one in /etc/wireguard without the ending.",
            autocompletion=configurations,
        ),
    ],
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="auto|kernel|wirewright",
            help="The kernel's WireGuard, or ours; auto takes the kernel's where there is one.",
        ),
    ] = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing: write what would be done.")
    ] = False,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", help="Stay until SIGTERM or an interrupt, then take it down; what a service runs."
        ),
    ] = False,
) -> None:
    """Set a WireGuard interface up, as wg-quick does: all of it, or nothing.

    Addresses, routes, DNS servers and the commands of the file (PreUp, PostUp) are those of wg-quick(8). If
    any step fails, or you interrupt it, what was done is undone.
    """
    from wirewright.cli.system import opened, shown  # noqa: PLC0415 - loads the core

    found = opened(interface, engine)
    warn_of_readers(found.file)
    if dry_run:
        for step in found.steps_up():
            typer.echo(step)
    elif wait:
        from wirewright.host.service import ServiceManager  # noqa: PLC0415
        from wirewright.tunnel.system.attending import attend  # noqa: PLC0415

        attend(found, ServiceManager(), shown)
    else:
        found.up(shown)


def warn_of_readers(file: Path | None) -> None:
    """Warn of a file with keys that other users have a right to."""
    from wirewright.host.exposure import is_exposed  # noqa: PLC0415

    if file is not None and is_exposed(file):
        typer.echo(
            f"Warning: other users may read or write {file}, which holds a key: chmod 600 it.", err=True
        )
