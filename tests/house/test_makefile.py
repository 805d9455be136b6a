from __future__ import annotations

import re

import pytest

from .text import ROOT, help_targets, make

PROMISED = {"help", "demo", "test", "test-all", "lint", "bench", "docs", "fuzz", "clean"}


def test_the_promised_targets_exist_and_are_described() -> None:
    assert set(help_targets()) >= PROMISED


def test_make_help_lists_every_described_target() -> None:
    shown = make("help")
    assert shown.returncode == 0, shown.stderr
    listed = dict(re.findall(r"^  make (\S+)\s+(.+)$", shown.stdout, re.MULTILINE))
    assert listed == help_targets()


def test_make_alone_shows_the_help() -> None:
    assert make().stdout == make("help").stdout


@pytest.mark.parametrize("target", sorted(help_targets()))
def test_make_knows_how_to_reach(target: str) -> None:
    planned = make("--dry-run", target)
    assert planned.returncode == 0, planned.stderr


def test_every_described_target_is_phony() -> None:
    declared = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert declared is not None
    assert set(declared.group(1).split()) >= set(help_targets())
