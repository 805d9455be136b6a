"""``ww dynamic``."""

import asyncio
import json
import signal
import sys
import time
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wirewright.cli.app import CommandError
from wirewright.cli.completing import interfaces
from wirewright.cli.output import json_errors, write_json

if TYPE_CHECKING:
    from wirewright.config.values import IPNetwork
    from wirewright.dynamic import Settings
    from wirewright.tunnel.system import Interface

dynamic = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Hand out addresses on an interface: a server of wg-dynamic.",
)

Name = Annotated[str, typer.Argument(metavar="INTERFACE", help="The interface.", autocompletion=interfaces)]
Leases = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Where leases are kept; else in /var/lib/wirewright/INTERFACE.leases."),
]


@dynamic.command()
def serve(  # noqa: PLR0917 - Typer's way to say what the arguments are
    interface: Name,
    pool: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NETWORK", help="Hand out addresses of it; without any, of networks routed to INTERFACE."
        ),
    ] = None,
    leases: Leases = None,
    lease_time: Annotated[int, typer.Option(min=1, metavar="SECONDS", help="How long a lease lasts.")] = 3600,
    quarantine: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="How long nobody else gets an address of before; a lease, at least.",
        ),
    ] = 3600,
    route: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="Name it to clients that ask for routes."),
    ] = None,
    register_keys: Annotated[
        bool, typer.Option("--register-keys", help="Let a client take another key for itself.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write JSON: a line when it serves, and counters in the end.")
    ] = False,
) -> None:
    """Serve leases to the peers of an interface, of the kernel or ours.

    A peer is known by a link-local address among its allowed IPs: see ww dynamic address. What
    administrators gave to peers stays theirs. Runs until it is interrupted.
    """
    with json_errors(as_json):
        pools, routes = _networks(pool or []), _networks(route or [])
        from wirewright.dynamic import Settings, Terms  # noqa: PLC0415 - loads the core
        from wirewright.tunnel.system import Interface  # noqa: PLC0415

        settings = Settings(Terms(lease_time, quarantine), lambda _: routes, register_keys)
        asyncio.run(_serve(Interface(interface), settings, pools or None, leases, as_json))


async def _serve(
    interface: "Interface",
    settings: "Settings",
    pools: "tuple[IPNetwork, ...] | None",
    leases: Path | None,
    as_json: bool,
) -> None:
    from wirewright.dynamic.serving import serving  # noqa: PLC0415

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def told(text: str) -> None:
        typer.echo(f"ww: {interface.name}: {text}", err=True)

    async with serving(interface, settings, pools=pools, leases=leases, tell=told) as server:
        if as_json:
            typer.echo(json.dumps({"interface": interface.name, "serving": True}))
            sys.stdout.flush()
        else:
            typer.echo(f"{interface.name}: serving leases of {settings.terms.lease_time} s", err=True)
        await stop.wait()
    if as_json:
        write_json({"interface": interface.name, "counters": dict(sorted(server.counters.items()))})


@dynamic.command("leases")
def show_leases(
    interface: Name,
    leases: Leases = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Show the leases of an interface.

    With them come addresses that are held back after one. They are read from the file, whether a server runs
    or not.
    """
    from wirewright.dynamic.files import lease_as_data, read_leases  # noqa: PLC0415 - loads the core
    from wirewright.dynamic.serving import leases_of  # noqa: PLC0415

    with json_errors(as_json):
        path = leases or leases_of(interface)
        records = read_leases(path)
    now = int(time.time())
    found = [lease for lease in records.leases.values() if lease.expires > now]
    held = [each for each in records.quarantined.values() if each.until > now]
    if as_json:
        held_back = [{"address": str(q.address), "public_key": str(q.key), "until": q.until} for q in held]
        write_json({"leases": [lease_as_data(lease) for lease in found], "quarantined": held_back})
        return
    if not found and not held:
        # The list is empty; what that means is for people.
        why = "no lease is current" if path.exists() else f"no server has given any: {path} is not there"
        typer.echo(f"ww: {interface}: {why}", err=True)
    for lease in found:
        addresses = " ".join(map(str, lease.addresses))
        typer.echo(f"{lease.key}\t{addresses}\tfor {lease.expires - now} s")
    for each in held:
        typer.echo(f"{each.key}\t{each.address}\theld back for {each.until - now} s")


@dynamic.command()
def address() -> None:
    """Read a public key and write the link-local address of its owner.

    The server's administrator puts it among the peer's allowed IPs, with /128.
    """
    from wirewright.dynamic import link_local  # noqa: PLC0415 - loads the core
    from wirewright.keys import PublicKey  # noqa: PLC0415

    try:
        key = PublicKey.from_base64(sys.stdin.read(4096).strip())
    except ValueError as error:
        raise CommandError(f"the standard input has no public key: {error}") from None
    typer.echo(link_local(key))


def _networks(texts: list[str]) -> "tuple[IPNetwork, ...]":
    try:
        return tuple(ip_network(each) for each in texts)
    except ValueError as error:
        raise CommandError(str(error), status=2) from None
