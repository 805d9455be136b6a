from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .text import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
WANTED: dict[str, list[str]] = {
    "runtime": PROJECT["project"]["dependencies"],
    **PROJECT["dependency-groups"],
}
FILES = sorted((ROOT / "requirements").iterdir())


def pins(path: Path) -> list[tuple[Requirement, int]]:
    """Each pinned requirement, with its number of hashes."""
    entries = path.read_text().replace("\\\n", " ").splitlines()
    found = []
    for entry in entries:
        if entry and not entry.startswith("#"):
            requirement, *hashes = re.split(r"\s+--hash=sha256:", entry.strip())
            assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in hashes), entry
            found.append((Requirement(requirement), len(hashes)))
    return found


def test_there_is_one_file_for_each_group() -> None:
    assert [path.name for path in FILES] == sorted(f"{group}.txt" for group in WANTED)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_but_pins_and_hashes_stands_in(path: Path) -> None:
    """No index, no link, no address, no path: those belong to a machine, not to the project."""
    header, *lines = path.read_text().splitlines()
    assert header == "# Written by `make lock` from pyproject.toml; do not edit."
    for line in lines:
        assert re.fullmatch(
            r"[a-z0-9._-]+==[0-9][^ ]*( ; [^/]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line
        ), line


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_everything_is_pinned_to_one_version_with_hashes(path: Path) -> None:
    for requirement, hashes in pins(path):
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert requirement.url is None
        assert hashes > 0, f"{requirement} has no hash"


@pytest.mark.parametrize("group", sorted(WANTED))
def test_the_pins_satisfy_what_pyproject_asks_for(group: str) -> None:
    pinned = pins(ROOT / "requirements" / f"{group}.txt")
    for text in WANTED[group]:
        wanted = Requirement(text)
        versions = [
            next(iter(found.specifier)).version
            for found, _ in pinned
            if canonicalize_name(found.name) == canonicalize_name(wanted.name)
        ]
        assert versions, f"{wanted.name} is not pinned: run `make lock`"
        assert all(version in wanted.specifier for version in versions), (
            f"{text}: {versions}; run `make lock`"
        )


def test_no_two_files_pin_the_same_package_differently() -> None:
    seen: dict[tuple[str, str], str] = {}
    for path in FILES:
        for requirement, _ in pins(path):
            version = str(requirement.specifier)
            name = canonicalize_name(requirement.name)
            if requirement.marker is None:
                assert seen.setdefault((name, ""), version) == version, f"{path.name}: {requirement}"
