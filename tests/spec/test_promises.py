"""What the specification promises about itself: to be independent, pure, documented, and to work as shown."""

import ast
import doctest
import sys
from pathlib import Path

import pytest

from wirewright import spec

MODULES = sorted(Path(spec.__path__[0]).glob("*.py"))
LIBRARIES = {"cryptography", "nacl"}
IMPURE = {"os", "random", "secrets", "socket", "time", "datetime", "asyncio", "threading", "pathlib"}


def imported_by(module: Path) -> set[str]:
    """Name the top-level packages that a module imports; "" stands for a neighbour in the same package."""
    names = set[str]()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("" if node.level == 1 else "." if node.level else (node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_a_module_imports_its_neighbours_the_standard_library_and_two_others_only(module: Path) -> None:
    assert imported_by(module) <= sys.stdlib_module_names | LIBRARIES | {""}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_a_module_has_no_clock_no_randomness_and_no_input_or_output(module: Path) -> None:
    assert not imported_by(module) & IMPURE


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_a_module_begins_with_its_theory(module: Path) -> None:
    docstring = ast.get_docstring(ast.parse(module.read_text()))
    assert docstring is not None
    assert len(docstring.splitlines()) > 3


def test_every_constant_is_followed_by_its_source() -> None:
    body = ast.parse((Path(spec.__path__[0]) / "constants.py").read_text()).body
    constants = 0
    for node, after in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign):
            continue
        constants += 1
        assert isinstance(after, ast.Expr), ast.unparse(node)
        assert isinstance(after.value, ast.Constant), ast.unparse(node)
        assert str(after.value.value).startswith(("Paper ", "RFC ", "D. J. Bernstein, ")), ast.unparse(node)
    assert constants > 20


def test_the_conversation_in_the_documentation_happens_as_shown() -> None:
    results = doctest.testmod(spec, optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert results.attempted > 10
    assert results.failed == 0
