"""Options that say what devices may reach, and when something ends."""

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from wirewright.cli.app import CommandError
from wirewright.cli.asking import checked

Allow: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="'NETWORKS [PROTOCOL [PORTS]]'",
        help="What it may start, such as '10.0.0.0/8,fd00::/8 tcp 22,8000-8999'; may be given again. Without "
        "any: the world and the gateway, and no other device.",
    ),
]
AllowNothing: TypeAlias = Annotated[
    bool, typer.Option("--allow-nothing", help="It may start nothing, only answer.")
]
PolicyFile: TypeAlias = Annotated[
    Path | None, typer.Option("--policy", metavar="FILE", help="A file with the rules, as JSON.")
]
Expires: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--expires",
        metavar="TIME",
        help="When it ends: 12h, 30d, or 2027-01-31T12:00:00Z; of devices, never.",
    ),
]


def policy_of(allow: list[str] | None, nothing: bool, file: Path | None) -> list[dict[str, Any]] | None:
    """Return the rules that the options say; ``None`` if they say none."""
    from wirewright.client import phrases  # noqa: PLC0415 - loads the core

    if sum((bool(allow), nothing, file is not None)) > 1:
        raise CommandError("--allow, --allow-nothing and --policy each say it all: give one kind", status=2)
    if nothing:
        return []
    if file is not None:
        with checked("--policy"):
            return phrases.policy(file)
    if allow:
        with checked("--allow"):
            return [phrases.rule(text) for text in allow]
    return None
