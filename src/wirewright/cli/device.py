"""``ww device``."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wirewright.cli.app import CommandError
from wirewright.cli.asking import Call, asks, checked, read_line
from wirewright.cli.completing import devices
from wirewright.cli.rules import Allow, AllowNothing, Expires, PolicyFile, policy_of
from wirewright.cli.tables import ago, when, write_record, write_table

if TYPE_CHECKING:
    from wirewright.client.api import Client, Data

device = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Devices of a coordinator: who has a tunnel, and what it may reach.",
)

Which = Annotated[
    str,
    typer.Argument(metavar="DEVICE", help="Its name or identifier.", autocompletion=devices),
]


@device.command()
@asks
def add(  # noqa: PLR0917 - Typer's way to say what the arguments are
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people call it.")],
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key", metavar="FILE", help="The file of its public key; else the standard input has it."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Make its key here, and write its configuration for wg-quick there, for its owner only.",
        ),
    ] = None,
    allowed_ips: Annotated[
        str,
        typer.Option(metavar="all|pools|NETWORKS", help="With --config: what goes through the tunnel."),
    ] = "all",
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --config.")] = False,
    gateway: Annotated[
        str | None, typer.Option(metavar="GATEWAY", help="Its gateway, if there is more than one.")
    ] = None,
    user: Annotated[str | None, typer.Option(metavar="USER", help="Whose it is.")] = None,
    address: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="An address that it is to have; else the next free ones."),
    ] = None,
    on_lease: Annotated[
        bool,
        typer.Option(
            "--on-lease", help="It gets no address, but asks for one (ww lease), as the gateway lets."
        ),
    ] = False,
    allow: Allow = None,
    allow_nothing: AllowNothing = False,
    policy: PolicyFile = None,
    expires: Expires = None,
) -> None:
    """Add a device, from its public key; the coordinator never has a private one."""
    from wirewright.client import adding, names  # noqa: PLC0415 - loads the core

    body: dict[str, Any] = {"name": name, "addresses": address or [], "on_lease": on_lease}
    rules = policy_of(allow, allow_nothing, policy)
    if rules is not None:
        body["policy"] = rules
    if expires is not None:
        body["expires_at"] = _moment(expires)
    if config is not None and public_key is not None:
        raise CommandError("--config makes a key, and --public-key names another: give one of them", status=2)
    networks = allowed_ips.split(",")
    with checked("--allowed-ips"):
        adding.check_allowed(networks)
    if gateway is not None:
        # By its name: members add devices, but do not see gateways.
        body["gateway"] = gateway
    if user is not None:
        body["user"] = names.user(call.client, user)["id"]
    if config is not None:
        made = adding.add_with_key(call.client, body, config, allowed=networks, replace=force)
    else:
        key = read_line("Public key", "a public key", public_key, public=True)
        made = call.client.create("/devices", {**body, "public_key": key})
    data = _with_tunnel(call.client, made) | ({"file": str(config)} if config else {})
    call.answer(data, lambda: _show(data))


@device.command("list")
@asks
def list_(
    call: Call,
    user: Annotated[str | None, typer.Option(metavar="USER", help="Only this user's.")] = None,
    gateway: Annotated[str | None, typer.Option(metavar="GATEWAY", help="Only this gateway's.")] = None,
) -> None:
    """List devices; a member sees its own."""
    from wirewright.client import names  # noqa: PLC0415 - loads the core

    query = {
        "user": names.user(call.client, user)["id"] if user else None,
        "gateway": names.gateway(call.client, gateway)["id"] if gateway else None,
    }
    found = list(call.client.pages("/devices", **query))

    def show() -> None:
        columns = ("name", "addresses", "state", "handshake", "received", "sent", "identifier")
        write_table(columns, map(_row, found), wide=("received", "sent", "identifier"))
        if not found:
            typer.echo("ww: there are no devices", err=True)

    call.answer({"devices": found}, show)


@device.command()
@asks
def show(call: Call, which: Which) -> None:
    """Show a device: its addresses, what it may reach, and what its gateway saw of it."""
    from wirewright.client import names  # noqa: PLC0415 - loads the core

    data = _with_tunnel(call.client, names.device(call.client, which))
    call.answer(data, lambda: _show(data))


@device.command("set")
@asks
def set_(  # noqa: PLR0917 - Typer's way to say what the arguments are
    call: Call,
    which: Which,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Another name.")] = None,
    allow: Allow = None,
    allow_nothing: AllowNothing = False,
    policy: PolicyFile = None,
    expires: Expires = None,
) -> None:
    """Change a device's name, what it may reach, or when it expires."""
    from wirewright.client import names  # noqa: PLC0415 - loads the core

    body: dict[str, Any] = {}
    if name is not None:
        body["name"] = name
    rules = policy_of(allow, allow_nothing, policy)
    if rules is not None:
        body["policy"] = rules
    if expires is not None:
        body["expires_at"] = None if expires == "never" else _moment(expires)
    if not body:
        raise CommandError("nothing is to differ: give --name, --allow, --policy or --expires", status=2)
    found = names.device(call.client, which)
    data = call.client.change(f"/devices/{found['id']}", body)
    call.answer(data, lambda: _show(data))


@device.command()
@asks
def remove(call: Call, which: Which) -> None:
    """Remove a device; nobody else gets its addresses for a while."""
    from wirewright.client import names  # noqa: PLC0415 - loads the core

    found = names.device(call.client, which)
    call.client.remove(f"/devices/{found['id']}")
    call.answer(
        {"removed": found["id"]}, lambda: typer.echo(f"{found['name']} ({found['id']}) is removed", err=True)
    )


@device.command()
@asks
def enable(call: Call, which: Which) -> None:
    """Let a device in again."""
    _switch(call, which, "enable")


@device.command()
@asks
def disable(call: Call, which: Which) -> None:
    """Cut a device off, within a second; it keeps its addresses."""
    _switch(call, which, "disable")


def _switch(call: Call, which: str, verb: str) -> None:
    from wirewright.client import names  # noqa: PLC0415 - loads the core

    found = names.device(call.client, which)
    data = call.client.act(f"/devices/{found['id']}/{verb}")
    call.answer(data, lambda: typer.echo(f"{data['name']} is {_state(data)}", err=True))


def _moment(text: str) -> str:
    from wirewright.client.phrases import moment  # noqa: PLC0415

    with checked("--expires"):
        return moment(text, datetime.now(UTC))


def _with_tunnel(client: "Client", found: "Data") -> "Data":
    return {**found, "tunnel": client.get(f"/devices/{found['id']}/tunnel")}


def _state(data: "Data") -> str:
    if data["active"]:
        return "active"
    return "expired" if data["enabled"] else "disabled"


def _row(data: "Data") -> list[str]:
    seen = data["activity"]
    return [
        data["name"],
        "\n".join(data["addresses"]),
        _state(data),
        ago(seen and seen["latest_handshake"]),
        str(seen["received"]) if seen else "-",
        str(seen["sent"]) if seen else "-",
        data["id"],
    ]


def _show(data: "Data") -> None:
    from wirewright.client.phrases import rule_in_words  # noqa: PLC0415

    fields = [
        ("name", data["name"]),
        ("identifier", data["id"]),
        ("state", _state(data)),
        ("addresses", "\n".join(data["addresses"])),
        ("public key", data["public_key"]),
        ("may reach", "\n".join(map(rule_in_words, data["policy"])) or "nothing"),
        ("expires", when(data["expires_at"]) if data["expires_at"] else "never"),
    ]
    if tunnel := data.get("tunnel"):
        fields += [
            ("gateway", f"{tunnel['gateway_public_key'] or 'has told no key yet'} at {tunnel['endpoint']}"),
            ("name servers", ", ".join(tunnel["dns"]) or "none"),
        ]
    if seen := data["activity"]:
        fields += [
            (
                "handshake",
                f"{ago(seen['latest_handshake'])}, from {seen['endpoint'] or 'an unknown endpoint'}",
            ),
            ("traffic", f"{seen['received']} bytes received from it, {seen['sent']} sent to it"),
        ]
    if data.get("file"):
        fields.append(("file", data["file"]))
    write_record(fields)
