"""``ww pool``."""

from typing import TYPE_CHECKING, Annotated

import typer

from wirewright.cli.asking import Call, asks, checked
from wirewright.cli.tables import when, write_table

if TYPE_CHECKING:
    from wirewright.client.api import Data

pool = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Pools of addresses, and addresses that are kept out of them.",
)

Gateway = Annotated[
    str | None, typer.Option(metavar="GATEWAY", help="The gateway, if there is more than one.")
]


@pool.command()
@asks
def add(
    call: Call,
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK", help="Such as 10.99.0.0/16 or fd99::/64; its first is the gateway's."
        ),
    ],
    gateway: Gateway = None,
    quarantine: Annotated[
        str, typer.Option(metavar="TIME", help="For which nobody else gets a released address.")
    ] = "1h",
) -> None:
    """Have a gateway give out the addresses of a network."""
    from wirewright.client import phrases  # noqa: PLC0415 - loads the core

    with checked("--quarantine"):
        seconds = 0 if quarantine == "0" else int(phrases.span(quarantine).total_seconds())
    body = {"gateway": _gateway(call, gateway), "network": network, "quarantine_seconds": seconds}
    data = call.client.create("/pools", body)
    call.answer(data, lambda: typer.echo(f"{data['network']} is a pool now", err=True))


@pool.command("list")
@asks
def list_(call: Call) -> None:
    """List pools, and how many of their addresses are held or in quarantine."""
    from wirewright.client import names  # noqa: PLC0415 - loads the core

    found = list(call.client.pages("/pools"))

    def show() -> None:
        gateways = names.names_of(call.client, "/gateways")
        rows = (
            [
                each["network"],
                gateways.get(each["gateway"], each["gateway"]),
                str(each["held"]),
                str(each["quarantined"]),
                each["id"],
            ]
            for each in found
        )
        write_table(("network", "gateway", "held", "in quarantine", "identifier"), rows, wide=("identifier",))
        if not found:
            typer.echo("ww: there are no pools", err=True)

    call.answer({"pools": found}, show)


@pool.command()
@asks
def remove(
    call: Call,
    which: Annotated[str, typer.Argument(metavar="NETWORK", help="The pool, by its network or identifier.")],
) -> None:
    """Remove a pool of which no device holds an address."""
    from wirewright.client import names  # noqa: PLC0415 - loads the core

    found = names.pool(call.client, which)
    call.client.remove(f"/pools/{found['id']}")
    call.answer({"removed": found["id"]}, lambda: typer.echo(f"{found['network']} is removed", err=True))


@pool.command()
@asks
def reserve(
    call: Call,
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="An address that no device gets by itself.")
    ],
    gateway: Gateway = None,
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why.")] = "reserved",
) -> None:
    """Keep an address from being given out."""
    body = {"gateway": _gateway(call, gateway), "address": address, "note": note}
    data = call.client.create("/reservations", body)
    call.answer(data, lambda: typer.echo(f"{data['address']} is reserved", err=True))


@pool.command()
@asks
def release(
    call: Call,
    which: Annotated[str, typer.Argument(metavar="ADDRESS", help="The reserved address.")],
) -> None:
    """Let a reserved address be given out again."""
    from wirewright.client import names  # noqa: PLC0415 - loads the core

    found = names.reservation(call.client, which)
    call.client.remove(f"/reservations/{found['id']}")
    call.answer({"removed": found["id"]}, lambda: typer.echo(f"{found['address']} is free again", err=True))


@pool.command()
@asks
def reserved(call: Call) -> None:
    """List addresses that are reserved."""
    _addresses(call, "reservations")


@pool.command()
@asks
def leases(call: Call) -> None:
    """List addresses that devices asked for themselves, and hold for a time."""
    _addresses(call, "leases")


def _addresses(call: Call, what: str) -> None:
    found = list(call.client.pages(f"/{what}"))

    def show() -> None:
        write_table(("address", "device", "note", "since", "until"), map(_row, found))
        if not found:
            typer.echo(f"ww: there are no {what}", err=True)

    call.answer({what: found}, show)


def _row(data: "Data") -> list[str]:
    until = when(data["until"]) if data["until"] else "-"
    return [data["address"], data["device"] or "-", data["note"], when(data["since"]), until]


def _gateway(call: Call, name: str | None) -> str:
    """Return the gateway that was named, or the only one there is."""
    from wirewright.client import names  # noqa: PLC0415 - loads the core

    return names.gateway_or_only(call.client, name)
