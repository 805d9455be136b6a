"""``ww user``."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wirewright.cli.app import CommandError
from wirewright.cli.asking import Call, Output, asks, checked
from wirewright.cli.completing import roles, scopes, users
from wirewright.cli.rules import Expires
from wirewright.cli.tables import when, write_record, write_table

if TYPE_CHECKING:
    from wirewright.client.api import Data

user = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Users of a coordinator, and their tokens.",
)

Which = Annotated[
    str,
    typer.Argument(metavar="USER", help="Their name or identifier.", autocompletion=users),
]
ROLE = "admin|operator|member"


@user.command()
@asks
def add(
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, and ._@- after the first.")],
    role: Annotated[str, typer.Option(metavar=ROLE, help="What they may.", autocompletion=roles)] = "member",
) -> None:
    """Add a user, who has no token yet: see ww user token."""
    data = call.client.create("/users", {"name": name, "role": role})
    call.answer(data, lambda: _show(data))


@user.command("list")
@asks
def list_(call: Call) -> None:
    """List users."""
    found = list(call.client.pages("/users"))
    columns = ("name", "role", "state", "since", "identifier")
    call.answer({"users": found}, lambda: write_table(columns, map(_row, found), wide=("identifier",)))


@user.command()
@asks
def show(call: Call, which: Which) -> None:
    """Show a user."""
    from wirewright.client import names  # noqa: PLC0415 - loads the core

    data = names.user(call.client, which)
    call.answer(data, lambda: _show(data))


@user.command("set")
@asks
def set_(
    call: Call,
    which: Which,
    role: Annotated[str, typer.Option(metavar=ROLE, help="What they may from now on.", autocompletion=roles)],
) -> None:
    """Give a user another role."""
    _change(call, which, role=role)


@user.command()
@asks
def enable(call: Call, which: Which) -> None:
    """Let a user's tokens be worth something again."""
    _change(call, which, enabled=True)


@user.command()
@asks
def disable(call: Call, which: Which) -> None:
    """Have a user's tokens be worth nothing; their devices stay."""
    _change(call, which, enabled=False)


@user.command()
@asks
def remove(call: Call, which: Which) -> None:
    """Remove a user and their tokens; one with devices is kept."""
    from wirewright.client import names  # noqa: PLC0415 - loads the core

    found = names.user(call.client, which)
    call.client.remove(f"/users/{found['id']}")
    call.answer({"removed": found["id"]}, lambda: typer.echo(f"{found['name']} is removed", err=True))


@user.command()
@asks
def token(  # noqa: PLR0917 - Typer's way to say what the arguments are
    call: Call,
    which: Annotated[
        str | None, typer.Argument(metavar="USER", help="Whose it is; yours, if nobody is named.")
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="What people call it.")] = "ww",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCOPE",
            help="What it is for, such as devices:read; may be given again. Without any: all that the role "
            "has.",
            autocompletion=scopes,
        ),
    ] = None,
    expires: Expires = None,
    output: Output = None,
) -> None:
    """Make a token, which is shown this once."""
    from wirewright.client import names, phrases  # noqa: PLC0415 - loads the core

    call.check_output(output)
    body: dict[str, Any] = {"name": name, "scopes": scope or ["admin"]}
    if expires is not None:
        with checked("--expires"):
            body["expires_at"] = phrases.moment(expires, datetime.now(UTC))
    if which is not None:
        body["user"] = names.user(call.client, which)["id"]
    made = call.client.create("/tokens", body)
    call.hand_over(made, "token", made["token"], output, f"The token {made['name']!r} ({made['id']}) is made")


@user.command()
@asks
def tokens(call: Call) -> None:
    """List tokens: yours, or those of all if you may read users."""
    found = list(call.client.pages("/tokens"))

    def show() -> None:
        columns = ("name", "scopes", "expires", "identifier")
        write_table(columns, map(_token_row, found))

    call.answer({"tokens": found}, show)


@user.command()
@asks
def revoke(
    call: Call,
    identifier: Annotated[
        str, typer.Argument(metavar="TOKEN", help="The identifier of the token, not the token.")
    ],
) -> None:
    """Make a token worth nothing."""
    from wirewright.client.api import segment  # noqa: PLC0415 - loads the core

    if identifier.startswith("wwt_"):
        raise CommandError(
            "that is a token itself, which every user of this machine could read just now: revoke it by its "
            "identifier, which ww user tokens shows",
            status=2,
        )
    call.client.remove(f"/tokens/{segment(identifier)}")
    call.answer({"removed": identifier}, lambda: typer.echo(f"{identifier} is worth nothing now", err=True))


def _change(call: Call, which: str, **body: object) -> None:
    from wirewright.client import names  # noqa: PLC0415 - loads the core

    found = names.user(call.client, which)
    data = call.client.change(f"/users/{found['id']}", body)
    call.answer(data, lambda: _show(data))


def _state(data: "Data") -> str:
    return "enabled" if data["enabled"] else "disabled"


def _row(data: "Data") -> list[str]:
    return [data["name"], data["role"], _state(data), when(data["created_at"]), data["id"]]


def _token_row(data: "Data") -> list[str]:
    ends = when(data["expires_at"]) if data["expires_at"] else "never"
    return [data["name"], "\n".join(data["scopes"]), ends, data["id"]]


def _show(data: "Data") -> None:
    write_record(
        [
            ("name", data["name"]),
            ("identifier", data["id"]),
            ("role", data["role"]),
            ("state", _state(data)),
            ("since", when(data["created_at"])),
        ]
    )
