"""The gates that other people's tools hold with our settings: each must be able to fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import missing

from .text import ROOT

TOOLS = Path(sys.executable).parent


def run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment["PYTHONPATH"] = str(folder / "src")
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=250, check=False
    )


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A house with our settings, and nothing in it."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name in ("tests", "scripts"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def furnished(house: Path) -> Path:
    """A house with our package in it."""
    if find_spec("importlinter") is None:
        missing("the lint's tools", "run `make lint` once")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src" / "wirewright", house / "src" / "wirewright", ignore=ignored)
    return house


WRONG = {
    "warns": ("def test_it(): warnings.warn('old')", "UserWarning: old"),
    "forgets": ("def test_it():\n    async def never(): pass\n    never()", "never awaited"),
    "marks": ("@pytest.mark.unheard_of\ndef test_it(): pass", "'unheard_of' not found in `markers`"),
    "passes": ("@pytest.mark.xfail\ndef test_it(): pass", "XPASS(strict)"),
    "hangs": ("def test_it(): threading.Event().wait()", "Timeout"),
}
"""What pytest has to fail, and what it says of it."""


def run_pytest(house: Path, sources: dict[str, str]) -> subprocess.CompletedProcess[str]:
    for name, source in sources.items():
        head = "import pytest, warnings, threading\n"
        (house / "tests" / f"test_{name}.py").write_text(f"{head}{source}\n")
    options = ("-p", "no:cacheprovider", "-o", "timeout=5", "--continue-on-collection-errors", "-rA")
    return run(house, sys.executable, "-m", "pytest", *options)


def test_pytest_fails_what_it_has_to_fail_and_nothing_else(house: Path) -> None:
    done = run_pytest(
        house, {"order": "def test_it(): pass"} | {name: each[0] for name, each in WRONG.items()}
    )
    assert done.returncode != 0
    outcomes = {}
    for line in done.stdout.partition("short test summary info")[2].splitlines():
        outcome, _, rest = line.partition(" tests/test_")
        outcomes[rest.partition(".py")[0]] = outcome
    assert outcomes.pop("order", None) == "PASSED", done.stdout
    assert {name: outcomes[name] for name in WRONG} == dict.fromkeys(WRONG, "FAILED") | {"marks": "ERROR"}
    for _, words in WRONG.values():
        assert words in done.stdout


def test_pytest_refuses_a_setting_that_it_does_not_know(house: Path) -> None:
    settings = house / "pyproject.toml"
    text = settings.read_text()
    assert "xfail_strict = true" in text
    settings.write_text(text.replace("xfail_strict = true", "xfail_strikt = true"))
    done = run_pytest(house, {"order": "def test_it(): pass"})
    assert done.returncode != 0
    assert "xfail_strikt" in done.stderr


def test_every_test_has_a_time_limit(request: pytest.FixtureRequest) -> None:
    assert 0 < float(request.config.getini("timeout")) <= 120


def test_the_layers_of_our_package_hold(furnished: Path) -> None:
    done = run(furnished, TOOLS / "lint-imports")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "words"),
    [
        ("config/extra.py", "import wirewright.tunnel.tunnel", "Layers point one way BROKEN"),
        ("keys.py", "import wirewright.config", "Layers point one way BROKEN"),
        ("tunnel/extra.py", "import wirewright.demo", "Layers point one way BROKEN"),
        ("sim/extra.py", "import wirewright.demo", "Layers point one way BROKEN"),
        ("extra/__init__.py", "", "Layers point one way BROKEN"),
        ("spec/extra.py", "import wirewright.keys", "The specification imports nothing of ours BROKEN"),
    ],
)
def test_the_layers_break_for(furnished: Path, file: str, line: str, words: str) -> None:
    path = furnished / "src" / "wirewright" / file
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as source:
        source.write(f"\n{line}\n")
    done = run(furnished, TOOLS / "lint-imports")
    assert done.returncode != 0
    assert words in " ".join(done.stdout.split())


# mypy takes its time without the cache that `make lint` keeps.
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("class Listener:", "class Hearer:", "Listener"),
        ("def fileno(self) -> int: ...", "def file_number(self) -> int: ...", "file_number"),
        ("def read(self, limit: int)", "def read(self, most: int)", "Connection.read"),
    ],
)
def test_stubs_that_differ_from_the_core_are_told(furnished: Path, old: str, new: str, words: str) -> None:
    stubs = furnished / "src" / "wirewright" / "_core.pyi"
    text = stubs.read_text()
    assert old in text
    stubs.write_text(text.replace(old, new))
    done = run(furnished, sys.executable, "-m", "mypy.stubtest", "--concise", "wirewright._core")
    assert done.returncode != 0
    assert words in done.stdout


@pytest.mark.parametrize(
    ("tool", "source", "words"),
    [
        (("-m", "ruff", "check", "extra.py"), '"""Extra."""\n\nimport os\n', "F401"),
        (("-m", "ruff", "check", "extra.py"), '"""Extra."""\n\nprint(1)\n', "T201"),
        (("-m", "ruff", "format", "--check", "extra.py"), "x=1\n", "would be reformatted"),
    ],
)
def test_a_file_out_of_order_is_told(furnished: Path, tool: tuple[str, ...], source: str, words: str) -> None:
    (furnished / "extra.py").write_text(source)
    done = run(furnished, sys.executable, *tool)
    assert done.returncode != 0
    assert words in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def untyped(x): return x\n", "missing a type annotation"),
        ("number: int = 'text'\n", "Incompatible types"),
    ],
)
def test_what_has_no_type_or_a_wrong_one_is_told(furnished: Path, source: str, words: str) -> None:
    (furnished / "extra.py").write_text(source)
    done = run(furnished, sys.executable, "-m", "mypy", "extra.py")
    assert done.returncode != 0
    assert words in done.stdout
