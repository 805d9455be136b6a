"""The dashboard for Grafana asks for what there is."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.house.text import ROOT
from wirewright.coordinator.metrics import Metrics

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Storage

pytestmark = pytest.mark.anyio

DASHBOARD: dict[str, Any] = json.loads((ROOT / "contrib/grafana/wirewright.json").read_text())
# A gateway's own page has these; it is made without a gateway that runs.
GATEWAY = (ROOT / "src/wirewright/gateway/metrics.py").read_text()


def expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


def named(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:wirewright|wireguard)_[a-z_]+", expression))


async def test_every_series_that_it_asks_for_is_told(storage: Storage) -> None:
    text = (await Metrics().text(storage)).decode()
    told = set(re.findall(r"^# TYPE (\S+) ", text, re.M))
    told |= {f"{name}_bucket" for name in told}
    for short in re.findall(r'^    "(\w+)": [("]|^        "(\w+)": \(', GATEWAY, re.M):
        name = f"wirewright_gateway_{''.join(short)}"
        told |= {name, f"{name}_total"}
    told |= {f"{name}_total" for name in re.findall(r'"(wirewright_gateway_\w+)"', GATEWAY)}
    asked = set().union(*map(named, expressions()))
    assert len(asked) > 10
    assert asked - told == set()


async def test_every_series_of_the_coordinator_is_shown(storage: Storage) -> None:
    text = (await Metrics().text(storage)).decode()
    told = set(re.findall(r"^# TYPE (\S+) ", text, re.M))
    asked = {name.removesuffix("_bucket") for name in set().union(*map(named, expressions()))}
    # When a metric began says nothing to people.
    assert {name for name in told if not name.endswith("_created")} - asked == set()


def test_panels_do_not_lie_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
