"""Devices as people look for them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from wirewright.coordinator.clock import DAY, MINUTE
from wirewright.coordinator.services import devices, reports, searching
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.services.devices import DeviceChange, NewDevice
from wirewright.coordinator.services.reports import DeviceReport
from wirewright.coordinator.services.searching import Search, Sort, State

from .actors import Actors, Clock, key

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Storage

pytestmark = pytest.mark.anyio


@pytest.fixture
async def made(storage: Storage, actors: Actors, clock: Clock) -> dict[str, str]:
    """Five devices by name: one online, one that was, one disabled, one expired, one of a member."""
    found = {}
    for number, name in enumerate(("alpha", "Beta 100%", "gamma_x", "delta", "Epsilon")):
        new = NewDevice(
            name,
            key(),
            user_id=actors.users["member"] if name == "Epsilon" else None,
            expires_at=clock.now + DAY if name == "delta" else None,
            addresses=(ip_address(f"10.88.{number}.200"),),
        )
        found[name] = (await storage.write(devices.create, SYSTEM, new)).device.id
    seen = [
        DeviceReport(found["alpha"], 500, 10, clock.now - MINUTE, "192.0.2.1:1"),
        DeviceReport(found["Beta 100%"], 20, 99, clock.now - 10 * MINUTE, "192.0.2.2:1"),
    ]
    await storage.write(reports.record, actors.gateway, seen)
    await storage.write(devices.update, SYSTEM, found["gamma_x"], DeviceChange(enabled=False))
    return found


async def names(storage: Storage, **asked: object) -> list[str]:
    found = await storage.read(searching.search, SYSTEM, Search(**asked))  # type: ignore[arg-type]
    return [each.device.name for each in found.items]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ALPH", ["alpha"]),
        ("ta", ["Beta 100%", "delta"]),
        # Wildcards of LIKE are letters like others.
        ("%", ["Beta 100%"]),
        ("_", ["gamma_x"]),
        ("0%' OR '1'='1", []),
        ("member", ["Epsilon"]),
        ("10.88.3.200", ["delta"]),
        ("10.88.1.", ["Beta 100%"]),
        ("10.88.1", ["Beta 100%"]),
        ("100", ["Beta 100%"]),
        ("10.88.2.0/23", ["delta", "gamma_x"]),
        ("10.88.", ["alpha", "Beta 100%", "delta", "Epsilon", "gamma_x"]),
        ("fd88::1", []),
        ("999.1.", []),
        ("  ", ["alpha", "Beta 100%", "delta", "Epsilon", "gamma_x"]),
    ],
)
async def test_a_text_is_looked_for_in_names_users_and_addresses(
    storage: Storage, made: dict[str, str], text: str, expected: list[str]
) -> None:
    assert await names(storage, text=text) == expected


async def test_the_beginning_of_a_public_key_finds_its_device(storage: Storage, made: dict[str, str]) -> None:
    whole = await storage.read(devices.get, SYSTEM, made["delta"])
    from wirewright.coordinator.api.models import key_text

    text = key_text(whole.device.public_key)
    for part in (text, text[:43], text[:20], text[:11], text[:10], text[:9], text[:8]):
        assert "delta" in await names(storage, text=part)
    # Another last character is another key.
    for length in (9, 10, 11, 12):
        other = text[: length - 1] + ("A" if text[length - 1] != "A" else "B")
        assert await names(storage, text=other) == []
    assert await names(storage, text=text) == ["delta"]


async def test_states_are_told_apart(storage: Storage, made: dict[str, str], clock: Clock) -> None:
    assert await names(storage, state=State.ONLINE) == ["alpha"]
    assert await names(storage, state=State.OFFLINE) == ["Beta 100%", "delta", "Epsilon"]
    assert await names(storage, state=State.DISABLED) == ["gamma_x"]
    assert await names(storage, state=State.EXPIRED) == []
    assert await names(storage, state=State.NEVER) == ["delta", "Epsilon", "gamma_x"]
    clock.now += 2 * DAY
    assert await names(storage, state=State.EXPIRED) == ["delta"]
    # A handshake grows old by itself.
    assert await names(storage, state=State.ONLINE) == []


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (Sort.NAME, ["alpha", "Beta 100%", "delta", "Epsilon", "gamma_x"]),
        (Sort.ADDRESS, ["alpha", "Beta 100%", "gamma_x", "delta", "Epsilon"]),
        (Sort.CREATED, ["alpha", "Beta 100%", "gamma_x", "delta", "Epsilon"]),
        (Sort.HANDSHAKE, ["Beta 100%", "alpha"]),
        (Sort.RECEIVED, ["Beta 100%", "alpha"]),
        (Sort.SENT, ["alpha", "Beta 100%"]),
        (Sort.EXPIRES, ["delta"]),
    ],
)
async def test_devices_are_sorted_both_ways_and_those_without_a_value_come_last(
    storage: Storage, made: dict[str, str], sort: Sort, expected: list[str]
) -> None:
    length = len(expected)
    up = await names(storage, sort=sort)
    down = await names(storage, sort=sort, descending=True)
    if sort is not Sort.CREATED:
        assert up[:length] == expected
        assert down[:length] == expected[::-1]
    assert sorted(up) == sorted(down) == sorted(made)


async def test_pages_are_parts_of_one_list(storage: Storage, made: dict[str, str]) -> None:
    pages = [
        await storage.read(searching.search, SYSTEM, Search(page=number, size=2)) for number in (1, 2, 3)
    ]
    assert [[each.device.name for each in page.items] for page in pages] == [
        ["alpha", "Beta 100%"],
        ["delta", "Epsilon"],
        ["gamma_x"],
    ]
    assert [(page.first, page.last, page.total) for page in pages] == [(1, 2, 5), (3, 4, 5), (5, 5, 5)]
    assert (pages[0].everything, pages[0].counts.matching) == (5, 5)
    beyond = await storage.read(searching.search, SYSTEM, Search(page=9, size=2))
    assert (beyond.items, beyond.first, beyond.last, beyond.total) == ([], 0, 0, 5)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, {"all": 5, "online": 1, "offline": 3, "disabled": 1, "expired": 0, "never": 3}),
        # All that match are counted, however few of them the page shows.
        ({"size": 1}, {"all": 5, "online": 1, "offline": 3, "disabled": 1, "expired": 0, "never": 3}),
        (
            {"text": "a", "page": 9},
            {"all": 4, "online": 1, "offline": 2, "disabled": 1, "expired": 0, "never": 2},
        ),
        # Whatever state is asked for, the others are still told.
        (
            {"state": State.DISABLED},
            {"all": 5, "online": 1, "offline": 3, "disabled": 1, "expired": 0, "never": 3},
        ),
        ({"text": "member"}, {"all": 1, "online": 0, "offline": 1, "disabled": 0, "expired": 0, "never": 1}),
        (
            {"text": "10.88.1."},
            {"all": 1, "online": 0, "offline": 1, "disabled": 0, "expired": 0, "never": 0},
        ),
        ({"gateway_id": "another"}, dict.fromkeys(("all", *State), 0)),
    ],
)
async def test_all_that_match_are_counted_by_their_states(
    storage: Storage, made: dict[str, str], asked: dict[str, Any], expected: dict[str, int]
) -> None:
    search = Search(**asked)
    found = await storage.read(searching.search, SYSTEM, search)
    assert found.counts.to_json() == expected
    assert found.everything == 5
    assert found.total == expected[search.state or "all"]
    for state in State:
        assert (
            len(await names(storage, **{**asked, "state": state, "page": 1, "size": 50})) == expected[state]
        )


async def test_a_member_finds_and_counts_its_own_only(
    storage: Storage, made: dict[str, str], actors: Actors
) -> None:
    from wirewright.coordinator.services import users

    caller = await storage.read(users.authenticate, actors.tokens["member"], "")
    found = await storage.read(searching.search, caller, Search(text="a"))
    assert (found.items, found.everything, found.counts.matching) == ([], 1, 0)
    found = await storage.read(searching.search, caller, Search(user_id=actors.users["admin"]))
    assert found.total == 0
