"""``ww lease``."""

import asyncio
import json
import signal
import time
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TYPE_CHECKING, Annotated

import typer

from wirewright.cli.app import CommandError
from wirewright.cli.completing import interfaces
from wirewright.cli.output import json_errors, write_json

if TYPE_CHECKING:
    from wirewright.dynamic import Holding, LeaseKeeper, Wishes
    from wirewright.tunnel.system import Interface


def lease(  # noqa: PLR0917 - Typer's way to say what the arguments are
    interface: Annotated[
        str, typer.Argument(metavar="INTERFACE", help="The interface.", autocompletion=interfaces)
    ],
    what: Annotated[
        str | None, typer.Argument(metavar="release", help="Give the lease back, and end.")
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Get a lease, and end; the addresses go when it ends.")
    ] = False,
    ipv4: Annotated[
        str, typer.Option(metavar="any|none|ADDRESS", help="The IPv4 address to ask for.")
    ] = "any",
    ipv6: Annotated[
        str, typer.Option(metavar="any|none|ADDRESS", help="The IPv6 address to ask for.")
    ] = "any",
    routes: Annotated[
        list[str] | None,
        typer.Option(
            "--routes", metavar="NETWORK", help="Take routes that the server names, if they lie in NETWORK."
        ),
    ] = None,
    new_key: Annotated[
        bool,
        typer.Option("--new-key", help="First make a new private key, and have the server take it."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write a line of JSON for each lease.")] = False,
) -> None:
    """Get addresses for an interface from the server of wg-dynamic behind it, and keep them.

    Runs until it is interrupted; then the addresses leave the interface, and the server keeps them for a
    while. Asks again, less and less often, while the server does not answer.
    """
    if what not in {None, "release"}:
        raise CommandError(f"{what!r} is nothing that can be done with a lease, but release is", status=2)
    if once and routes:
        raise CommandError("--routes goes with a client that stays, to take them away again", status=2)
    with json_errors(as_json):
        wishes = _wishes(ipv4, ipv6, routes or [])
        from wirewright.tunnel.system import Interface  # noqa: PLC0415 - loads the core

        found = Interface.existing(interface)
        try:
            asyncio.run(_lease(found, wishes, what == "release", once, new_key, as_json))
        except asyncio.CancelledError:
            raise typer.Exit(130) from None


def _wishes(ipv4: str, ipv6: str, routes: list[str]) -> "Wishes":
    from wirewright.dynamic import Wishes  # noqa: PLC0415
    from wirewright.dynamic.messages import Wish  # noqa: PLC0415

    words = {"any": Wish.ANY, "none": Wish.NONE}
    option = "--ipv4"
    try:
        v4 = words.get(ipv4) or IPv4Address(ipv4)
        option = "--ipv6"
        v6 = words.get(ipv6) or IPv6Address(ipv6)
        option = "--routes"
        wishes = Wishes(v4, v6, tuple(ip_network(each) for each in routes))
    except ValueError as error:
        raise CommandError(f"{option}: {error}", status=2) from None
    if wishes.ipv4 is wishes.ipv6 is Wish.NONE:
        raise CommandError("without an address of either family there is nothing to ask for", status=2)
    return wishes


async def _lease(  # noqa: PLR0917
    interface: "Interface", wishes: "Wishes", release: bool, once: bool, new_key: bool, as_json: bool
) -> None:
    from wirewright.dynamic import LeaseKeeper  # noqa: PLC0415

    def told(text: str) -> None:
        typer.echo(f"ww: {interface.name}: {text}", err=True)

    keeper = LeaseKeeper(
        interface,
        wishes,
        tell=(lambda _: None) if once else told,
        granted=lambda holding: _tell(keeper, holding, as_json),
    )
    stop = asyncio.Event()
    task = asyncio.current_task()
    assert task is not None
    interrupt = task.cancel if once or release else stop.set
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupt)
    async with keeper:
        if new_key:
            told(f"the server takes the new key {await keeper.renew_key()}")
        if release:
            await keeper.release()
            if as_json:
                write_json({"interface": interface.name, "addresses": []})
        elif once:
            await keeper.once()
        else:
            await keeper.keep(stop)


def _tell(keeper: "LeaseKeeper", holding: "Holding", as_json: bool) -> None:
    name, addresses = keeper.interface.name, [str(each) for each in holding.addresses]
    if as_json:
        routes = [str(each) for each in holding.routes]
        line = {"interface": name, "addresses": addresses, "routes": routes, "until": holding.until}
        typer.echo(json.dumps(line))
        return
    until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holding.until))
    typer.echo(f"{name}: {' '.join(addresses)} until {until}", err=True)
