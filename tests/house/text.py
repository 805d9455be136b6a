"""The house's own texts, taken apart for the tests."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def help_targets() -> dict[str, str]:
    """The targets of the Makefile that have a help text, with it."""
    return dict(re.findall(r"^([a-z-]+):[^#\n]*## (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make as a user would, also when the tests themselves are run by make."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=inherited, capture_output=True, text=True, check=False
    )


def code_blocks(path: Path, *languages: str) -> Iterator[str]:
    """The fenced blocks of a Markdown file that are written in one of `languages`."""
    for language, body in re.findall(
        r"^```(\w*)[^\n]*\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL
    ):
        if language in languages:
            yield body


def commands(path: Path) -> list[str]:
    """The shell commands in a Markdown file's blocks, without prompts, output, comments and pipes."""
    found = []
    for block in code_blocks(path, "console", "sh", "bash", "shell"):
        lines = block.replace("\\\n", " ").splitlines()
        prompted = any(line.startswith("$ ") for line in lines)
        wanted = (line.removeprefix("$ ") for line in lines if line.startswith("$ ") or not prompted)
        parts = (
            part.strip() for line in wanted for part in re.split(r"\||&&|;", re.sub(r"(^|\s)#.*", "", line))
        )
        found += [part for part in parts if part]
    return found
