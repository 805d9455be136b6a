from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wirewright.cli.app import app

from .text import ROOT, commands, help_targets

DOCUMENTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("fuzz/*.md")})


def every(program: str) -> list[tuple[Path, list[str]]]:
    """Each call of `program` in a document, with its words."""
    calls = [(path, shlex.split(command)) for path in DOCUMENTS for command in commands(path)]
    return [(path, words) for path, words in calls if words[0] == program]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_the_house_has_its(name: str) -> None:
    assert (ROOT / name).is_file()


def test_the_readme_shows_the_two_commands() -> None:
    shown = commands(ROOT / "README.md")
    assert "make demo" in shown
    assert "make test" in shown


def test_every_make_target_that_a_document_names_exists() -> None:
    for path, words in every("make"):
        targets = [word for word in words[1:] if "=" not in word]
        assert set(targets) <= set(help_targets()), f"{path.relative_to(ROOT)}: {shlex.join(words)}"


def test_every_ww_command_that_a_document_names_exists() -> None:
    named: dict[str, set[Path]] = {}
    for path, words in every("ww"):
        if len(words) > 1 and not words[1].startswith("-"):
            named.setdefault(words[1], set()).add(path.relative_to(ROOT))
    assert len(named) > 20
    # In this process: to begin one for each takes a minute on a busy machine.
    for command, paths in sorted(named.items()):
        outcome = CliRunner().invoke(app, [command, "--help"])
        assert outcome.exit_code == 0, f"{', '.join(map(str, sorted(paths)))}: ww {command}: {outcome.output}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_document_names_exists(path: Path) -> None:
    named = re.findall(r"`([\w-]+(?:/[\w.-]+)+\.(?:rs|py|md|toml))`", path.read_text())
    # A guide to adding something names files that are still to be made.
    wanted = [name for name in named if Path(name).stem != "example"]
    houses = (ROOT, ROOT / "crates", ROOT / "src")
    assert [name for name in wanted if not any((house / name).is_file() for house in houses)] == []
