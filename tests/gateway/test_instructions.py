"""What is no instruction is refused, before anything of the host is named after it."""

from __future__ import annotations

from typing import Any

import pytest

from wirewright.gateway.instructions import Device, InstructionError, instruction_from_json

from .models import key, single

GOOD = Device("number-1", key(1), (single(1),), expires=5).to_json()


def test_a_device_survives_json_and_may_come_from_who_knew_less() -> None:
    assert Device.from_json(GOOD) == Device("number-1", key(1), (single(1),), expires=5)
    before = {name: value for name, value in GOOD.items() if name not in {"expires", "leased", "next_key"}}
    assert Device.from_json(before) == Device("number-1", key(1), (single(1),))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "../../etc"),
        ("id", "a b"),
        ("id", ""),
        ("id", "x" * 65),
        ("id", 7),
        ("addresses", ["10.88.0.0/16"]),
        ("addresses", ["0.0.0.0/0"]),
        ("addresses", ["::/127"]),
        ("leased", ["10.88.0.0/31"]),
        ("addresses", "10.88.0.2"),
        ("expires", "soon"),
        ("public_key", "nonsense"),
        ("policy", "all"),
    ],
)
def test_a_device_that_is_none_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InstructionError):
        instruction_from_json("put", {"revision": 1, "device": GOOD | {name: value}})
