"""Write the manual pages: what `--help` says of `ww` and each command, and of `wirewright-tun`."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

import typer  # noqa: E402

from wirewright import tun  # noqa: E402
from wirewright.cli import app as commands  # noqa: E402

VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
STATUS = (
    ("0", "Success."),
    ("1", "Failure: the message says what, where, and what to do."),
    ("2", "A mistake in the arguments."),
    ("130", "Interrupted."),
)
SYSTEM = {"up", "down", "show", "top", "set", "setconf", "addconf", "syncconf", "save", "strip"}


def main(folder: Path) -> None:
    """Write all pages into a folder, each into the directory of its section."""
    for name, text in pages():
        path = folder / f"man{name[-1]}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def pages() -> Iterator[tuple[str, str]]:
    """Give the name and the text of each page."""
    root = typer.main.get_command(commands.app)
    yield "ww.1", _page(["ww"], root, sorted(f"ww-{name}(1)" for name in commands.COMMANDS))
    for name in commands.COMMANDS:
        found = root.commands[name]  # type: ignore[attr-defined]
        others = ["ww(1)", *(["wg(8)", "wg-quick(8)", "wirewright-tun(8)"] if name in SYSTEM else [])]
        yield f"ww-{name}.1", _page(["ww", name], found, others)
    yield "wirewright-tun.8", _tun_page()


def _page(words: list[str], command: Any, see_also: list[str]) -> str:  # noqa: ANN401 - Click's
    context = command.make_context(words[-1], [], resilient_parsing=True)
    brief, *rest = _paragraphs(command.help)
    lines = [_head("-".join(words), 1), *_name("-".join(words), brief.splitlines()[0])]
    lines += [".SH SYNOPSIS", *_synopsis(words, command, context)]
    lines += [".SH DESCRIPTION", *_text([brief, *rest])]
    subcommands = getattr(command, "commands", None)
    if subcommands:
        lines.append(".SH COMMANDS")
        for name in command.list_commands(context):
            sub = subcommands[name]
            page = f"\\fBww\\-{name}\\fR(1)" if words == ["ww"] else f"\\fB{_escaped(name)}\\fR"
            lines += [".TP", page, _escaped(_paragraphs(sub.help)[0])]
            if words != ["ww"]:
                for title, help_ in _records(sub):
                    lines += [".RS", ".TP", title, _escaped(help_), ".RE"]
    for heading, kind in (("ARGUMENTS", "argument"), ("OPTIONS", "option")):
        records = list(_records(command, kind))
        if records:
            lines.append(f".SH {heading}")
            lines += [line for title, help_ in records for line in (".TP", title, _escaped(help_))]
    lines.append(".SH EXIT STATUS")
    lines += [line for status, meaning in STATUS for line in (".TP", f"\\fB{status}\\fR", meaning)]
    return "\n".join([*lines, *_see_also(see_also), ""])


def _synopsis(words: list[str], command: Any, context: Any) -> list[str]:  # noqa: ANN401 - Click's
    # Typer has braces around what must be there, which only a choice needs.
    pieces = [re.sub(r"^\{([^|}]*)\}", r"\1", piece) for piece in command.collect_usage_pieces(context)]
    return [f"\\fB{_escaped(' '.join(words))}\\fR {_escaped(' '.join(pieces))}"]


def _records(command: Any, kind: str | None = None) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - Click's
    context = command.make_context("x", [], resilient_parsing=True)
    for parameter in command.get_params(context):
        if kind not in (None, parameter.param_type_name):
            continue
        if (record := parameter.get_help_record(context)) is not None:
            yield f"\\fB{_escaped(record[0])}\\fR", " ".join(record[1].split())


def _tun_page() -> str:
    usage, what, environment = tun.HELP.split("\n\n")
    synopsis = [line.removeprefix("usage: ").strip() for line in usage.splitlines()]
    lines = [_head("wirewright-tun", 8), *_name("wirewright-tun", "the process behind a WireGuard interface")]
    lines += [".SH SYNOPSIS", *(f"{_escaped(line)}\n.br" for line in synopsis)]
    lines += [".SH DESCRIPTION", *_text([what]), ".SH ENVIRONMENT"]
    for row in re.split(r"\n  (?=\S)", environment)[1:]:
        variable, _, meaning = row.partition(" ")
        lines += [".TP", f"\\fB{_escaped(variable)}\\fR", _escaped(" ".join(meaning.split()))]
    return "\n".join([*lines, *_see_also(["ww-up(1)", "wg(8)", "wg-quick(8)"]), ""])


def _paragraphs(help_: str | None) -> list[str]:
    return [paragraph.strip("\n") for paragraph in re.split(r"\n\s*\n", (help_ or "").strip())]


def _text(paragraphs: Iterable[str]) -> Iterator[str]:
    for paragraph in paragraphs:
        yield ".PP"
        if paragraph.startswith("\b"):
            yield from (".nf", *map(_escaped, paragraph.lstrip("\b\n").splitlines()), ".fi")
        else:
            yield _escaped(" ".join(paragraph.split()))


def _head(name: str, section: int) -> str:
    return f'.TH "{_escaped(name.upper())}" "{section}" "" "Wirewright {VERSION}" "Wirewright"'


def _name(name: str, brief: str) -> tuple[str, str]:
    return ".SH NAME", f"{_escaped(name)} \\- {_escaped(brief.rstrip('.'))}"


def _see_also(names: list[str]) -> list[str]:
    marked = (re.sub(r"^(.*)(\(\d\))$", r"\\fB\1\\fR\2", _escaped(name)) for name in names)
    return [".SH SEE ALSO", ",\n".join(marked)]


def _escaped(text: str) -> str:
    """Have a text mean itself: a period or an apostrophe that begins a line would be a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(?=[.'])", r"\\&", text, flags=re.M)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
