"""What the documents show runs, against an office behind a tunnel on this machine."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.docs.office import Office, open_office
from tests.house.text import ROOT, code_blocks, commands
from wirewright import BlockingTunnel, Tunnel

DOCS = ROOT / "docs"
PAGES = sorted({*ROOT.glob("*.md"), *DOCS.glob("**/*.md")})
# Where they would change this machine's network, or need servers of others: tests/lab/test_system_page.py and
# tests/lab/test_databases.py run them.
IN_A_LAB = {DOCS / "system.md", DOCS / "databases.md"}
WITH_PYTHON = [page for page in PAGES if page not in IN_A_LAB and any(code_blocks(page, "python"))]
# They show the help of every command: the page of the command line, and those of larger things.
WITH_HELP = [DOCS / name for name in ("cli.md", "dynamic.md", "gateway.md", "server-cli.md")]
# What goes on until it is interrupted.
GOES_ON = re.compile(
    r"ww (?!.*--help)(?:proxy|dynamic serve|top|up .*--wait|ping(?!.* (?:-c|--count|--json)\b))"
)
# What commands must have said, in their output or on the standard error.
SAYS = {
    r"\bping (?!.*--(?:json|help))": r"\d ms\b",
    r"\bping .*--json": r'"received": [1-9]',
    r"ww proxy (?!.*--help)": r"127\.0\.0\.1:\d",
}
PROGRAMS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    with open_office() as office:
        yield office


@pytest.fixture
def desk(office: Office, tmp_path: Path) -> Path:
    """A folder with the files that examples name."""
    office.furnish(tmp_path)
    return tmp_path


def run(desk: Path, *command: str | Path, seconds: float = 50) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "SSL_CERT_FILE": str(desk / "office.pem"),
        "COLUMNS": "80",
    }
    return subprocess.run(
        command, cwd=desk, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_python_of_a_page_runs(desk: Path, page: Path) -> None:
    if page.name == "lab.md" and os.geteuid() != 0:
        missing("a lab of namespaces", "run as root")
    # Python 3.12 and later warn of any fork beside threads; the page on forks says what is so here.
    strict = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")
    done = run(desk, sys.executable, *strict, "-m", "tests.docs.page", page)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.count("ran ") == len(list(code_blocks(page, "python")))


@pytest.mark.parametrize("page", sorted({*PAGES} - IN_A_LAB), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_ww_commands_of_a_page_run(desk: Path, page: Path) -> None:
    for block in code_blocks(page, "console", "sh"):
        lines = block.splitlines()
        prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        for line in prompted or lines:
            if not re.search(r"\bww\b", line):
                continue
            if "ww run" in line and not os.access("/dev/net/tun", os.R_OK | os.W_OK):
                missing("/dev/net/tun", "open it to everybody, or run as root")
            told = told_until_interrupted(desk, line) if GOES_ON.search(line) else told_at_its_end(desk, line)
            assert "Traceback" not in told
            for what, said in SAYS.items():
                if re.search(what, line):
                    assert re.search(said, told), f"{line}\n{told}"


def told_at_its_end(desk: Path, line: str) -> str:
    done = run(desk, "timeout", "--kill-after=5", "40", "sh", "-ec", line)
    told = f"{done.stdout}{done.stderr}"
    assert done.returncode == 0, f"{line}\n{told}"
    return told


def told_until_interrupted(desk: Path, line: str) -> str:
    done = run(desk, "timeout", "--signal=INT", "4", "sh", "-ec", line)
    told = f"{done.stdout}{done.stderr}"
    assert done.returncode == 124, f"{line}\n{told}"
    return told


@pytest.mark.parametrize(
    ("page", "command"),
    [
        (page, command)
        for page in WITH_HELP
        for command in re.findall(r"^\$ ww ((?:\w+ )?\w+) --help$", page.read_text(), re.M)
    ],
)
def test_the_help_that_a_page_shows_is_the_help(desk: Path, page: Path, command: str) -> None:
    shown = next(
        block.partition("\n")[2].strip()
        for block in code_blocks(page, "console")
        if block.startswith(f"$ ww {command} --help\n")
    )
    assert shown == run(desk, "ww", *command.split(), "--help").stdout.strip()


def test_the_help_that_the_page_of_wirewright_tun_shows_is_the_help(desk: Path) -> None:
    (shown,) = code_blocks(DOCS / "tun.md", "console")
    assert shown.strip() == "$ wirewright-tun --help\n" + run(desk, "wirewright-tun", "--help").stdout.strip()


def test_the_pages_of_the_command_line_show_every_command(desk: Path) -> None:
    listed = run(desk, "ww", "--help").stdout.partition("Commands:")[2]
    text = "".join(page.read_text() for page in WITH_HELP)
    for command in re.findall(r"^  (\w+)  ", listed, re.M):
        assert f"$ ww {command} --help\n" in text


@pytest.mark.parametrize(("page", "kind"), [("tunnel.md", Tunnel), ("blocking.md", BlockingTunnel)])
def test_a_guide_uses_every_method(page: str, kind: type) -> None:
    blocks = "\n".join(code_blocks(DOCS / page, "python"))
    for name, member in inspect.getmembers(kind):
        internal = name.startswith("_") or name in {"forked"}
        if not internal and (callable(member) or isinstance(member, property)):
            assert re.search(rf"\.{name}\b", blocks), f"{page} has no example of {kind.__name__}.{name}"


def test_a_page_that_fails_is_noticed(desk: Path) -> None:
    page = desk / "wrong.md"
    page.write_text("```python\nimport asyncio\nawait asyncio.sleep(0)\n```\n\n```python\n1 / 0\n```\n")
    done = run(desk, sys.executable, "-m", "tests.docs.page", page)
    assert done.returncode != 0
    assert "ran wrong.md, Python block 1" in done.stdout
    assert "wrong.md, Python block 2" in done.stderr
    assert list(commands(page)) == []
