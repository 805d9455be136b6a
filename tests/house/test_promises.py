"""What the house's documents enumerate is complete."""

from __future__ import annotations

import re
import tomllib

import pytest

from wirewright.tunnel import errors

from .text import ROOT

CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
PACKAGES = {
    path.stem
    for path in (ROOT / "src" / "wirewright").iterdir()
    if (path / "__init__.py").is_file() or (path.suffix in {".py", ".pyi"} and path.stem != "__init__")
}


def layers() -> list[list[str]]:
    """The layers that import-linter holds, from the top."""
    (contract,) = (contract for contract in CONTRACTS if contract["type"] == "layers")
    return [re.findall(r"\w+", layer) for layer in contract["layers"]]


def test_every_package_has_a_layer_or_stands_apart() -> None:
    (contract,) = (contract for contract in CONTRACTS if contract["type"] == "layers")
    named = {name for layer in layers() for name in layer} | set(contract["exhaustive_ignores"])
    assert named == PACKAGES
    assert contract["exhaustive"] is True


def test_the_specification_is_forbidden_every_package() -> None:
    (contract,) = (contract for contract in CONTRACTS if contract["type"] == "forbidden")
    forbidden = {module.removeprefix("wirewright.") for module in contract["forbidden_modules"]}
    assert contract["source_modules"] == ["wirewright.spec"]
    assert forbidden == PACKAGES - {"spec", "__main__", "_core"}


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_a_document_lists_the_layers_in_their_order(document: str) -> None:
    text = (ROOT / document).read_text()
    arrows = next(re.findall(r"\w+", line) for line in re.findall(r"cli`? → .*", text) if "tunnel" in line)
    wanted = [name for layer in layers() for name in layer if name != "__main__"]
    assert arrows[: len(wanted)] == wanted


def budgets() -> str:
    """The chapter on what everything may take."""
    return (ROOT / "ARCHITECTURE.md").read_text().partition("\n## Budgets")[2].partition("\n## ")[0]


@pytest.mark.parametrize("source", ["engine/src/limits.rs", "netstack/src/config.rs"])
def test_the_budgets_name_every_limit(source: str) -> None:
    code = (ROOT / "crates" / source).read_text()
    fields = re.search(r"^pub struct Limits \{\n(.*?)^\}", code, re.MULTILINE | re.DOTALL)
    assert fields is not None
    names = re.findall(r"^    pub (\w+):", fields.group(1), re.MULTILINE)
    assert names
    assert [name for name in names if f"`{name}`" not in budgets()] == []


def test_the_budget_of_a_peers_counters_is_a_u64_for_each_event() -> None:
    code = (ROOT / "crates/engine/src/counters.rs").read_text()
    events = re.findall(r"^    [A-Z]\w+ = \"\w+\",$", code, re.MULTILINE)
    assert f"| counters, once something was dropped | one | {8 * len(events)} B |" in budgets()


def test_the_guide_to_tunnels_names_every_error() -> None:
    guide = (ROOT / "docs/tunnel.md").read_text().partition("\n## Errors")[2].partition("\n## ")[0]
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    names = {kind.__name__ for kind in kinds if issubclass(kind, errors.TunnelError)} - {"TunnelError"}
    assert {name for name in names if f"`{name}`" not in guide} == set()
