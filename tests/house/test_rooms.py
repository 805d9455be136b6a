"""Which rooms of the package may touch the core: import-linter does not see it, since it is no Python."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CORE = "wirewright._core"
MAY = {"confine", "config", "keys", "lab", "sim", "tun", "tunnel"}
# The package itself gives its version, which is the core's.
PACKAGE = "__init__"


def modules_named(source: str, package: str) -> Iterator[str]:
    """Name every module that a source of ``package`` imports, or has the name of in a string."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: 1 - node.level or None] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from (origin, *(f"{origin}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def touches_core(source: str, package: str) -> bool:
    return any(f"{name}.".startswith(f"{CORE}.") for name in modules_named(source, package))


def test_only_rooms_that_may_touch_the_core_do(root: Path) -> None:
    house = root / "src" / "wirewright"
    touching = set()
    for path in house.rglob("*.py"):
        place = path.relative_to(house)
        package = ".".join(("wirewright", *place.parent.parts))
        if touches_core(path.read_text(), package):
            touching.add(place.parts[0].removesuffix(".py"))
    assert touching == MAY | {PACKAGE}


@pytest.mark.parametrize(
    ("source", "touches"),
    [
        ("import wirewright._core", True),
        ("def f():\n    from wirewright._core import SecretKey", True),
        ("from wirewright import _core", True),
        ("from .._core import SecretKey", True),
        ("from .. import _core as engine", True),
        ("import_module('wirewright._core')", True),
        ("from . import _core", False),
        ("from wirewright.keys import SecretKey", False),
        ("'''The core is wirewright._core.'''", False),
    ],
)
def test_every_way_to_the_core_is_seen(source: str, touches: bool) -> None:
    assert touches_core(source, "wirewright.spec") is touches
