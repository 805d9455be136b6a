"""``ww invite``."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wirewright.cli.asking import Call, Output, asks, checked
from wirewright.cli.completing import invitations
from wirewright.cli.rules import Allow, AllowNothing, Expires, PolicyFile, policy_of
from wirewright.cli.tables import when, write_record, write_table

if TYPE_CHECKING:
    from wirewright.client.api import Data

invite = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Invitations: rights to enrol devices, to be handed on.",
)

Which = Annotated[
    str,
    typer.Argument(metavar="INVITATION", help="Its name or identifier.", autocompletion=invitations),
]


@invite.command()
@asks
def add(  # noqa: PLR0917 - Typer's way to say what the arguments are
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people call it.")],
    uses: Annotated[int, typer.Option(min=1, max=1000, help="How many devices it enrols.")] = 1,
    expires: Expires = None,
    device_expires: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long each device may stay, such as 12h or 30d."),
    ] = None,
    user: Annotated[str | None, typer.Option(metavar="USER", help="Whose the devices will be.")] = None,
    gateway: Annotated[
        str | None, typer.Option(metavar="GATEWAY", help="Their gateway, if there is more than one.")
    ] = None,
    on_lease: Annotated[
        bool,
        typer.Option(
            "--on-lease",
            help="The devices get no address, but ask for one (ww lease), as the gateway lets.",
        ),
    ] = False,
    allow: Allow = None,
    allow_nothing: AllowNothing = False,
    policy: PolicyFile = None,
    output: Output = None,
) -> None:
    """Make an invitation, for a week unless --expires says otherwise, and write a link that has it.

    The link is a secret: whoever has it enrols a device with ww enrol. What stands behind the # is told to no
    server.
    """
    from wirewright.client import names, phrases  # noqa: PLC0415 - loads the core
    from wirewright.client.enrolling import Invitation  # noqa: PLC0415

    call.check_output(output)
    body: dict[str, Any] = {"name": name, "uses": uses, "on_lease": on_lease}
    rules = policy_of(allow, allow_nothing, policy)
    if rules is not None:
        body["policy"] = rules
    if expires is not None:
        with checked("--expires"):
            body["expires_at"] = phrases.moment(expires, datetime.now(UTC))
    if device_expires is not None:
        with checked("--device-expires"):
            body["device_lifetime_seconds"] = int(phrases.span(device_expires).total_seconds())
    if user is not None:
        body["user"] = names.user(call.client, user)["id"]
    if gateway is not None:
        body["gateway"] = names.gateway(call.client, gateway)["id"]
    made = call.client.create("/invitations", body)
    access = call.client.access
    link = Invitation.parse(made["invitation"]).link(access.public_url or access.url)
    said = f"The invitation {made['name']} enrols {_devices(made['uses'])} until {when(made['expires_at'])}"
    call.hand_over({**made, "invitation": link}, "invitation", link, output, said)


@invite.command("list")
@asks
def list_(call: Call) -> None:
    """List invitations, those that are used up or expired too."""
    found = list(call.client.pages("/invitations"))

    def show() -> None:
        columns = ("name", "left", "state", "expires", "identifier")
        write_table(columns, map(_row, found), wide=("identifier",))
        if not found:
            typer.echo("ww: there are no invitations", err=True)

    call.answer({"invitations": found}, show)


@invite.command()
@asks
def show(call: Call, which: Which) -> None:
    """Show an invitation, without what it is proved with."""
    from wirewright.client import names  # noqa: PLC0415 - loads the core
    from wirewright.client.phrases import rule_in_words  # noqa: PLC0415

    data = names.invitation(call.client, which)
    lifetime = data["device_lifetime_seconds"]
    fields = [
        ("name", data["name"]),
        ("identifier", data["id"]),
        ("state", _state(data)),
        ("left", f"{data['uses_left']} of {_devices(data['uses'])}"),
        ("expires", when(data["expires_at"])),
        ("addresses", "asked for on lease" if data["on_lease"] else "the next free ones"),
        ("devices may reach", "\n".join(map(rule_in_words, data["policy"])) or "nothing"),
        ("devices expire", "never" if lifetime is None else f"after {lifetime} s"),
    ]
    call.answer(data, lambda: write_record(fields))


@invite.command()
@asks
def remove(call: Call, which: Which) -> None:
    """Take an invitation back; devices that it enrolled stay."""
    from wirewright.client import names  # noqa: PLC0415 - loads the core

    found = names.invitation(call.client, which)
    call.client.remove(f"/invitations/{found['id']}")
    call.answer(
        {"removed": found["id"]},
        lambda: typer.echo(f"{found['name']} ({found['id']}) is taken back", err=True),
    )


def _row(data: "Data") -> list[str]:
    left = f"{data['uses_left']} of {data['uses']}"
    return [data["name"], left, _state(data), when(data["expires_at"]), data["id"]]


def _state(data: "Data") -> str:
    if not data["uses_left"]:
        return "used up"
    return "expired" if datetime.fromisoformat(data["expires_at"]) <= datetime.now(UTC) else "open"


def _devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"
