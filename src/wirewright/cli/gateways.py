"""``ww gateways``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from wirewright.cli.app import CommandError
from wirewright.cli.asking import Call, Output, asks
from wirewright.cli.completing import registered_gateways
from wirewright.cli.tables import ago, write_record, write_table

if TYPE_CHECKING:
    from wirewright.client.api import Data

gateways = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Register gateways that run elsewhere, and their credentials.",
)

Which = Annotated[
    str,
    typer.Argument(metavar="GATEWAY", help="Its name or identifier.", autocompletion=registered_gateways),
]
Dns = Annotated[
    list[str] | None,
    typer.Option(metavar="ADDRESS", help="A name server for its devices; may be given again."),
]
Mtu = Annotated[int | None, typer.Option(min=1280, max=65_535, help="The MTU that its devices are to have.")]


@gateways.command()
@asks
def add(  # noqa: PLR0917 - Typer's way to say what the arguments are
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, and ._@- after the first.")],
    endpoint: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where its devices find it, by UDP.")],
    dns: Dns = None,
    mtu: Mtu = None,
    output: Output = None,
) -> None:
    """Add a gateway, and make the credential that it proves itself with, which is shown this once.

    It needs a pool of addresses, too: see ww pool add.
    """
    call.check_output(output)
    body: dict[str, Any] = {"name": name, "endpoint": endpoint, "dns": dns or [], "mtu": mtu}
    made = call.client.create("/gateways", body)
    said = f"The gateway {made['name']} is added"
    call.hand_over(made, "credential", made["credential"], output, said)


@gateways.command("list")
@asks
def list_(call: Call) -> None:
    """List gateways."""
    found = list(call.client.pages("/gateways"))

    def show() -> None:
        columns = ("name", "endpoint", "reported", "revision", "identifier")
        write_table(columns, map(_row, found), wide=("identifier",))
        if not found:
            typer.echo("ww: there are no gateways", err=True)

    call.answer({"gateways": found}, show)


@gateways.command()
@asks
def show(call: Call, which: Which) -> None:
    """Show a gateway."""
    from wirewright.client import names  # noqa: PLC0415 - loads the core

    data = names.gateway(call.client, which)
    call.answer(data, lambda: _show(data))


@gateways.command("set")
@asks
def set_(  # noqa: PLR0917 - Typer's way to say what the arguments are
    call: Call,
    which: Which,
    endpoint: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where its devices find it, by UDP.")
    ] = None,
    dns: Dns = None,
    no_dns: Annotated[bool, typer.Option("--no-dns", help="Its devices are told no name servers.")] = False,
    mtu: Mtu = None,
) -> None:
    """Change what devices that are added from now on are told of a gateway."""
    from wirewright.client import names  # noqa: PLC0415 - loads the core

    body: dict[str, Any] = {}
    if endpoint is not None:
        body["endpoint"] = endpoint
    if dns and no_dns:
        raise CommandError("--dns and --no-dns cannot both be", status=2)
    if dns or no_dns:
        body["dns"] = dns or []
    if mtu is not None:
        body["mtu"] = mtu
    if not body:
        raise CommandError("nothing is to differ: give --endpoint, --dns, --no-dns or --mtu", status=2)
    found = names.gateway(call.client, which)
    data = call.client.change(f"/gateways/{found['id']}", body)
    call.answer(data, lambda: _show(data))


@gateways.command()
@asks
def credential(call: Call, which: Which, output: Output = None) -> None:
    """Make a new credential; the one before is worth nothing from now on."""
    from wirewright.client import names  # noqa: PLC0415 - loads the core

    call.check_output(output)
    found = names.gateway(call.client, which)
    made = call.client.create(f"/gateways/{found['id']}/credential", {})
    said = f"The gateway {made['name']} has a new credential"
    call.hand_over(made, "credential", made["credential"], output, said)


@gateways.command()
@asks
def remove(call: Call, which: Which) -> None:
    """Remove a gateway that has neither devices nor pools."""
    from wirewright.client import names  # noqa: PLC0415 - loads the core

    found = names.gateway(call.client, which)
    call.client.remove(f"/gateways/{found['id']}")
    call.answer({"removed": found["id"]}, lambda: typer.echo(f"{found['name']} is removed", err=True))


def _row(data: "Data") -> list[str]:
    return [data["name"], data["endpoint"], ago(data["seen_at"]), str(data["revision"]), data["id"]]


def _show(data: "Data") -> None:
    write_record(
        [
            ("name", data["name"]),
            ("identifier", data["id"]),
            ("endpoint", data["endpoint"]),
            ("public key", data["public_key"] or "not told yet"),
            ("name servers", ", ".join(data["dns"]) or "none"),
            ("MTU", "the usual one" if data["mtu"] is None else str(data["mtu"])),
            ("reported", ago(data["seen_at"])),
            ("revision", str(data["revision"])),
        ]
    )
