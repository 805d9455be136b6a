"""``ww enrol``."""

import os
import platform
from pathlib import Path
from typing import Annotated

import typer

from wirewright.cli.app import CommandError
from wirewright.cli.asking import AsJson, Ca, checked, explained, read_line
from wirewright.cli.output import json_errors, write_json


def enrol(  # noqa: PLR0917 - Typer's way to say what the arguments are
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where the configuration is written, such as office.conf.")
    ],
    invitation: Annotated[
        Path | None,
        typer.Option(
            "--invitation", metavar="FILE", help="The file of the invitation; else the standard input has it."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to call this device; else by this host's name.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="The coordinator, if the invitation is not a link to it."),
    ] = None,
    ca: Ca = None,
    allowed_ips: Annotated[
        str, typer.Option(metavar="all|pools|NETWORKS", help="What goes through the tunnel.")
    ] = "all",
    force: Annotated[bool, typer.Option("--force", help="Replace FILE, if it is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Enrol this device with an invitation, and write its configuration file.

    The key is made here, and leaves this machine never. The invitation is a secret: it is asked for, or comes
    by the standard input or from a file. If anything goes wrong on the way, the same command again goes on
    with what was begun.
    """
    with json_errors(as_json), explained():
        from wirewright.client import Access, Client, enrolling, tunnels  # noqa: PLC0415 - loads the core
        from wirewright.client.access import checked_url  # noqa: PLC0415
        from wirewright.client.secret_files import refuse_existing  # noqa: PLC0415

        networks = allowed_ips.split(",")
        with checked("--allowed-ips"):
            tunnels.check_allowed(networks)
        refuse_existing(file, replace=force)
        asked = read_line("Invitation", "an invitation", invitation, hidden=True)
        found = enrolling.Invitation.parse(asked)
        where = url or found.url or os.environ.get("WIREWRIGHT_URL")
        if where is None:
            raise CommandError(
                "the invitation does not say where the coordinator is: name it with --url, or use the whole "
                "link"
            )
        with Client(Access(checked_url(where), certificates=ca)) as client:
            called = name or platform.node() or "device"
            done = enrolling.enrol(client, found, called, file, allowed=networks, replace=force)
    if as_json:
        write_json({"device": done.device, "tunnel": done.tunnel, "file": str(done.file)})
        return
    addresses = ", ".join(done.device["addresses"]) or "no address yet: ask for one with ww lease"
    typer.echo(f"{done.device['name']} is enrolled, with {addresses}; its configuration is {file}.", err=True)
    typer.echo(f"Use it: ww up {_as_path(file)}, ww proxy, ww run, or any other WireGuard.", err=True)


def _as_path(file: Path) -> str:
    """Return a file as ``ww up`` takes it for one."""
    return str(file) if file.suffix == ".conf" else f"{file} (whose name is to end with .conf)"
