from __future__ import annotations

import email
import os
import subprocess
import sys
import tarfile
import tomllib
import venv
from importlib.metadata import distribution, version
from pathlib import Path

import pytest

import wirewright

from .text import ROOT

MATURIN = Path(sys.executable).parent / "maturin"


def cargo_version() -> str:
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]
    return str(workspace["package"]["version"])


def run(*command: str | Path, **environment: str) -> str:
    outcome = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, f"{command}\n{outcome.stdout}{outcome.stderr}"
    return outcome.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    run(MATURIN, "sdist", "--out", folder)
    return folder / f"wirewright-{cargo_version()}.tar.gz"


def test_cargo_the_package_and_its_metadata_agree_on_the_version() -> None:
    assert version("wirewright") == wirewright.__version__ == cargo_version()


@pytest.mark.parametrize("name", ["wirewright", "ww"])
def test_the_command_is_installed_and_can_be_loaded(name: str) -> None:
    (entry,) = distribution("wirewright").entry_points.select(group="console_scripts", name=name)
    assert callable(entry.load())


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(wirewright.__file__).parent / "py.typed").is_file()


def test_a_source_distribution_holds_what_a_build_needs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        prefix = f"wirewright-{cargo_version()}/"
        names = {name.removeprefix(prefix) for name in archive.getnames()}
        info = archive.extractfile(f"{prefix}PKG-INFO")
        assert info is not None
        metadata = email.message_from_bytes(info.read())
    needed = {
        "pyproject.toml",
        "Cargo.lock",
        "LICENSE",
        "README.md",
        "src/wirewright/py.typed",
        "src/wirewright/_core.pyi",
    }
    # Scripts, styles and templates of the page, which no import would miss.
    page = ROOT / "src/wirewright/coordinator/web"
    furniture = [path for folder in ("static", "templates") for path in (page / folder).rglob("*.*")]
    needed |= {str(path.relative_to(ROOT)) for path in furniture}
    assert len(furniture) > 50
    needed |= {f"crates/{path.parent.name}/src/lib.rs" for path in ROOT.glob("crates/*/Cargo.toml")}
    assert needed <= names
    assert metadata["License-Expression"] == "Apache-2.0"
    assert not [name for name in names if name.endswith(".so")]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_source_distribution_installs_into_an_empty_environment(sdist: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "clean", with_pip=True)
    programs = tmp_path / "clean" / "bin"
    run(
        programs / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        sdist,
        CARGO_TARGET_DIR=str(tmp_path / "target"),
    )
    said = run(
        programs / "python", "-c", "import wirewright, wirewright._core; print(wirewright.__version__)"
    )
    assert said.strip() == cargo_version()
    for name in ("wirewright", "ww"):
        assert "Usage" in run(programs / name, "--help")
    (installed,) = (tmp_path / "clean").glob("lib/python*/site-packages/wirewright/coordinator/web")
    for folder in ("static", "templates"):
        there = {path.relative_to(installed) for path in (installed / folder).rglob("*.*")}
        here = ROOT / "src/wirewright/coordinator/web"
        assert there == {path.relative_to(here) for path in (here / folder).rglob("*.*")}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_pip_installs_a_checkout_into_an_empty_environment(tmp_path: Path) -> None:
    venv.create(tmp_path / "clean", with_pip=True)
    programs = tmp_path / "clean" / "bin"
    run(
        programs / "python", "-m", "pip", "install", "--quiet", ".", CARGO_TARGET_DIR=str(tmp_path / "target")
    )
    assert "Usage" in run(programs / "ww", "--help")
