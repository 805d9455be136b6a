"""``ww check``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wirewright.cli.output import json_errors, write_json

if TYPE_CHECKING:
    from wirewright.config import Explanation


def check(
    conf: Annotated[
        Path,
        typer.Argument(
            metavar="CONF",
            readable=False,  # what cannot be read is told by whoever reads it
            help="A wg-quick configuration file, or - for the standard input.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail if there is a warning.")] = False,
) -> None:
    """Check a configuration, and say in plain words what it will do.

    Exits with 0 if the file is valid, and with 1 if it is not (or, with --strict, if there is a warning). No
    key is shown, no name is resolved, nothing is sent.
    """
    from wirewright.config import ConfigError, Document, explain  # noqa: PLC0415 - loads the core
    from wirewright.config.explain import as_data, problems_as_data  # noqa: PLC0415

    path = "/dev/stdin" if str(conf) == "-" else conf
    with json_errors(as_json):
        try:
            explanation = explain(Document.from_file(path, str(conf)))
        except ConfigError as error:
            if not as_json:
                raise
            write_json({"file": str(conf), **problems_as_data(error)})
            raise typer.Exit(1) from None
    if as_json:
        write_json({"file": str(conf), **as_data(explanation)})
    else:
        _show(str(conf), explanation)
    if strict and explanation.has_warnings:
        raise typer.Exit(1)


def _show(name: str, explanation: "Explanation") -> None:
    from rich.console import Console  # noqa: PLC0415 - takes longer to load than the rest
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=True)
    console.print(Text.assemble((name, "bold"), " is valid."))
    for paragraph in explanation.paragraphs:
        console.print(Text.assemble("\n", (paragraph.subject, "bold")))
        for sentence in paragraph.sentences:
            console.print(Text(f"  {sentence}"))
    if explanation.findings:
        console.print()
    for finding in explanation.findings:
        where = f"line {finding.line}: " if finding.line else ""
        colour = "yellow" if finding.level == "warning" else "cyan"
        console.print(Text.assemble((finding.level, colour), f": {where}{finding.text}"))
