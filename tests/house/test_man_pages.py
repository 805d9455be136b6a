"""The manual pages, made of what `--help` says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import man_pages
import pytest
from typer.testing import CliRunner

from tests.conftest import missing
from wirewright import tun
from wirewright.cli.app import COMMANDS, app

PAGES = dict(man_pages.pages())


def plain(text: str) -> str:
    """What a page says, without what makes it bold."""
    text = re.sub(r"\\f[BIR]", "", text)
    return " ".join(text.replace("\\-", "-").replace("\\e", "\\").replace("\\&", "").split())


def help_of(*words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "400"})
    assert done.exit_code == 0
    return done.stdout


def test_every_command_has_a_page() -> None:
    assert set(PAGES) == {"ww.1", "wirewright-tun.8", *(f"ww-{command}.1" for command in COMMANDS)}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_says_all_that_the_help_says(command: str) -> None:
    page = plain(PAGES[f"ww-{command}.1"])
    shown = help_of(command)
    options = re.findall(r"^  (?:-\w, )?(--[a-z-]+)", shown, re.M)
    assert "--help" in options
    assert [option for option in options if option not in page] == []
    description = shown.partition("\n\n")[2].partition("\n\n")[0]
    assert " ".join(description.split()) in page


def test_the_page_of_the_process_says_all_that_its_help_says() -> None:
    page = plain(PAGES["wirewright-tun.8"])
    words = " ".join(tun.HELP.partition("environment:")[2].split())
    for variable in re.findall(r"\b(?:WG|WIREWRIGHT|LOG)_[A-Z_]+", words):
        assert variable in page
    assert "may have one that was passing" in page
    assert "wirewright-tun --help | --version" in page


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_one(tmp_path: Path, name: str) -> None:
    if shutil.which("man") is None or shutil.which("groff") is None:
        missing("man", "install man-db")
    file = tmp_path / name
    file.write_text(PAGES[name])
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "100"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{name[:-2].upper()}({name[-1]})" in done.stdout


def test_pages_lie_where_man_looks(tmp_path: Path) -> None:
    man_pages.main(tmp_path)
    assert (tmp_path / "man1" / "ww-up.1").read_text() == PAGES["ww-up.1"]
    assert (tmp_path / "man8" / "wirewright-tun.8").is_file()
