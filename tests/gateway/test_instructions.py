"""What is no instruction is refused, before anything of the host is named after it."""

from __future__ import annotations

from typing import Any

import pytest

from wirewright.gateway.instructions import Device, InstructionError, PutSettings, instruction_from_json

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
        ("expires", 10**400),
        ("expires", -1),
        ("addresses", [f"10.88.0.{number}" for number in range(65)]),
        ("public_key", "nonsense"),
        ("policy", "all"),
    ],
)
def test_a_device_that_is_none_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InstructionError):
        instruction_from_json("put", {"revision": 1, "device": GOOD | {name: value}})


POOLS = ["10.88.0.0/16", "fd88::/64"]


@pytest.mark.parametrize(
    ("addresses", "pools"),
    [
        (["10.88.0.1/1"], POOLS),
        (["10.88.0.1/24"], POOLS),
        (["203.0.113.1/32"], POOLS),
        (["10.88.0.1/16"], []),
        ([], ["0.0.0.0/0"]),
        ([], ["8.0.0.0/7"]),
        ([], ["fd00::/8"]),
        ([], ["169.254.0.0/16"]),
        ([], ["224.0.0.0/8"]),
        ([], ["127.1.0.0/16"]),
        ([], ["::ffff:10.0.0.0/104"]),
        ([], [f"10.{number}.0.0/16" for number in range(64)]),
    ],
)
def test_settings_that_would_take_more_of_the_host_than_pools_are_refused(
    addresses: list[str], pools: list[str]
) -> None:
    with pytest.raises(InstructionError):
        instruction_from_json(
            "settings", {"revision": 1, "settings": {"addresses": addresses, "pools": pools}}
        )


def test_settings_of_pools_are_taken_also_where_there_are_none_yet() -> None:
    for addresses, pools in ([], []), (["10.88.0.1/16", "fd88::1/64"], POOLS), ([], ["100.64.0.0/10"]):
        told = {"revision": 1, "settings": {"addresses": addresses, "pools": pools}}
        assert isinstance(instruction_from_json("settings", told), PutSettings)


@pytest.mark.parametrize("revision", [-1, 1 << 63])
def test_a_revision_is_a_number_of_63_bits(revision: int) -> None:
    with pytest.raises(InstructionError):
        instruction_from_json("remove", {"revision": revision, "id": "one", "public_key": str(key(1))})
