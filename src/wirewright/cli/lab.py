"""``ww lab``."""

from pathlib import Path
from typing import Annotated

import typer

from wirewright.cli.app import CommandError
from wirewright.cli.output import write_json

lab = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Networks on this machine, from a file: hosts, links, NAT, loss.",
)

File = Annotated[Path, typer.Argument(metavar="FILE.toml", help="The topology.")]


@lab.command("list")
def list_labs(as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False) -> None:
    """Show the labs that are up."""
    from wirewright.lab.kept import all_kept  # noqa: PLC0415 - only this command

    found = list(all_kept())
    if as_json:
        write_json(
            {
                "labs": [
                    {"name": kept.name, "topology": str(kept.topology), "hosts": list(kept.hosts)}
                    for kept in found
                ]
            }
        )
        return
    for kept in found:
        typer.echo(f"{kept.name}\t{kept.topology}\t{' '.join(kept.hosts)}")


@lab.command()
def up(file: File) -> None:
    """Build a lab that stays until `ww lab down`, and draw it."""
    from wirewright.lab.kept import up as build  # noqa: PLC0415

    try:
        kept = build(file)
    except _errors() as error:
        raise CommandError(str(error)) from None
    _draw(kept.topology)


@lab.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    file: File,
    host: Annotated[str, typer.Argument(metavar="HOST", help="The host to run it in.")],
    command: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND", help="The command, with its arguments; -- before it, if you like."),
    ],
) -> None:
    """Run a command in a host; exits as the command does.

    If the lab is not up, it is built for this command and taken down after it.
    """
    import subprocess  # noqa: PLC0415 - only this command

    from wirewright.lab import Lab, read_topology  # noqa: PLC0415
    from wirewright.lab.kept import find  # noqa: PLC0415
    from wirewright.lab.machine import entering  # noqa: PLC0415

    def enter(hosts: dict[str, int]) -> int:
        if host not in hosts:
            raise CommandError(f"{file}: no host {host}; there are {', '.join(hosts)}")
        return subprocess.call(entering(hosts[host], command))  # noqa: S603

    try:
        kept = find(file.stem)
        if kept is not None:
            status = enter(kept.hosts)
        else:
            with Lab(read_topology(file)) as built:
                status = enter({name: machine.holder for name, machine in built.machines.items()})
    except _errors() as error:
        raise CommandError(str(error)) from None
    raise typer.Exit(status if status >= 0 else 128 - status)


@lab.command()
def down(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The lab, named as its file; all, if none is named.")
    ] = "",
) -> None:
    """Take labs down, with all that runs in them."""
    from wirewright.lab.kept import all_kept  # noqa: PLC0415

    found = [kept for kept in all_kept() if name in ("", kept.name)]
    if name and not found:
        raise CommandError(f"no lab {name} is up")
    for kept in found:
        try:
            kept.down()
        except _errors() as error:
            raise CommandError(str(error)) from None


def _draw(topology: Path) -> None:
    from wirewright.lab import read_topology  # noqa: PLC0415

    typer.echo(str(read_topology(topology)))


def _errors() -> tuple[type[Exception], ...]:
    from wirewright.lab import LabError, TopologyError  # noqa: PLC0415

    return LabError, TopologyError
