"""``ww audit``."""

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wirewright.cli.asking import Call, asks
from wirewright.cli.tables import is_narrow, when, write_table

if TYPE_CHECKING:
    from wirewright.client.api import Data


@asks
def audit(
    call: Call,
    number: Annotated[
        int, typer.Option("-n", "--number", min=1, max=100_000, help="How many lines, the newest.")
    ] = 50,
    action: Annotated[
        str | None, typer.Option(metavar="ACTION", help="Only such as device.create or user.update.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="IDENTIFIER", help="Only what was done to this device, user, …")
    ] = None,
) -> None:
    """Show the audit log: who did what, when, and from where; the newest line last."""
    found = list(
        islice(call.client.pages("/audit", action=action, subject=subject, newest_first="true"), number)
    )
    found.reverse()

    def show() -> None:
        if is_narrow():
            columns = ("when", "who, from", "what, to", "details")
            write_table(columns, map(_high_row, found), whole=("what, to",))
        else:
            write_table(("when", "who", "from", "what", "to", "details"), map(_row, found))
        if not found:
            typer.echo("ww: the audit log has no such line", err=True)

    call.answer({"entries": found}, show)


def _row(data: "Data") -> list[str]:
    details = ", ".join(f"{name} {_value(value)}" for name, value in data["detail"].items())
    return [when(data["at"]), data["actor"], data["origin"] or "-", data["action"], data["subject"], details]


def _high_row(data: "Data") -> list[str]:
    """Return the same in fewer columns, of two lines."""
    at, who, origin, what, subject, details = _row(data)
    return [at.replace(" ", "\n"), f"{who}\n{origin}", f"{what}\n{subject}", details]


def _value(value: Any) -> str:  # noqa: ANN401 (any JSON)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return " ".join(value)
    return str(value) if isinstance(value, str | int) else f"({type(value).__name__})"
