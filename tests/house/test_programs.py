"""Programs without which a test is skipped, or fails with CI=true: a script installs each."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

SCRIPTS = ("scripts/install_lab_tools.sh", ".ci/run")
OF_EVERY_DEBIAN = {"bash"}


def installed(root: Path) -> set[str]:
    """Return the programs that a script looks for, to install them if they are absent."""
    text = "\n".join((root / name).read_text() for name in SCRIPTS)
    return set(re.findall(r"^ *(?:need|command -v) ([\w-]+) ", text, re.MULTILINE)) | OF_EVERY_DEBIAN


def calls(node: ast.AST, name: str) -> list[ast.Call]:
    found = (each for each in ast.walk(node) if isinstance(each, ast.Call))
    return [call for call in found if ast.unparse(call.func) == name]


def values(function: ast.FunctionDef, name: str, module: str) -> list[str]:
    """Give what a name stands for: it runs through a row in a loop, or as a parameter of a test."""
    rows = [
        each.iter
        for each in ast.walk(function)
        if isinstance(each, ast.For) and ast.unparse(each.target) == name
    ]
    marks = (mark for each in function.decorator_list for mark in calls(each, "pytest.mark.parametrize"))
    rows += [mark.args[1] for mark in marks if ast.literal_eval(mark.args[0]) == name]
    assert rows, f"{module}: what is {name} in {function.name}?"
    return [
        value
        for row in rows
        for value in (
            getattr(import_module(module), row.id) if isinstance(row, ast.Name) else ast.literal_eval(row)
        )
    ]


def wanted(root: Path) -> Iterator[tuple[str, str]]:
    """Give each program that is looked for by a function that does without: where, and its name."""
    for path in sorted((root / "tests").rglob("*.py")):
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef) or not calls(function, "missing"):
                continue
            for (sought,) in (call.args for call in calls(function, "shutil.which")):
                if isinstance(sought, ast.Constant):
                    yield module, str(sought.value)
                else:
                    yield from ((module, value) for value in values(function, ast.unparse(sought), module))


def test_every_program_that_a_test_does_without_is_installed_by_a_script(root: Path) -> None:
    found = set(wanted(root))
    assert {program for _, program in found} > {"zsh", "groff", "curl", "cc", "setpriv", "iperf3", "nsenter"}
    assert sorted((where, program) for where, program in found if program not in installed(root)) == []
