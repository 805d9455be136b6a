"""Leases over the API while the coordinator is slow, away, or somebody else."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.dynamic.worlds import World, at, key
from wirewright.dynamic import AddressTakenError, Change, LeaseService, Settings, StoreError, Terms
from wirewright.dynamic.messages import RequestIp
from wirewright.dynamic.records import UnsureError
from wirewright.gateway import lease_store
from wirewright.gateway.lease_store import ApiLedger, LedgerStore, pieces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.anyio

EMPTY = {"version": 7, "leases": [], "quarantined": [], "successions": []}


@dataclass
class Coordinator:
    """Answers what it was told to, one after the other, and keeps what it was asked."""

    answers: list[Any] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(json.loads(request.content) if request.content else {})
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        return httpx2.Response(status, json=body)

    def ledger(self, wall: Callable[[], int] = lambda: 1000) -> ApiLedger:
        @asynccontextmanager
        async def client() -> AsyncIterator[httpx2.AsyncClient]:
            transport = httpx2.MockTransport(self)
            async with httpx2.AsyncClient(transport=transport, base_url="http://coordinator") as made:
                yield made

        return ApiLedger(client, wall)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses: who waits for a coordinator that is none needs none."""

    async def no_time(_seconds: float) -> None:
        pass

    monkeypatch.setattr("wirewright.gateway.lease_store.asyncio.sleep", no_time)


async def test_an_answer_that_was_lost_is_cured_by_the_same_question() -> None:
    coordinator = Coordinator([httpx2.ReadTimeout(""), (503, {"detail": "later"}), (200, {"version": 8})])
    assert await coordinator.ledger().commit(Change(ended=(key(1),)), 7, "name") == 8
    assert [(each["version"], each["change"]) for each in coordinator.asked] == [(7, "name")] * 3


@pytest.mark.parametrize(
    ("answers", "unsure"),
    [
        ([httpx2.ConnectError("refused")] * 3, False),
        ([httpx2.ReadTimeout("")] + [httpx2.ConnectError("refused")] * 2, True),
        ([(503, None)] * 3, True),
        # The first may have been kept, whatever is said to the second.
        ([httpx2.ReadError(""), (409, {"type": "x:address-taken", "addresses": ["10.7.0.9"]})], True),
        ([(200, {"version": "8"})], True),
        ([(409, {"type": "urn:wirewright:problem:stale", "detail": "read"})], True),
        ([(401, {"detail": "who?"})], False),
        ([(404, {"detail": "no device"})], False),
        ([(507, {"detail": "full"})], False),
    ],
)
async def test_it_is_told_apart_what_was_not_kept_and_what_may_have_been(
    answers: list[Any], unsure: bool
) -> None:
    coordinator = Coordinator(answers)
    with pytest.raises(StoreError) as error:
        await coordinator.ledger().commit(Change(ended=(key(1),)), 7, "name")
    assert isinstance(error.value, UnsureError) is unsure
    assert coordinator.answers == []


async def test_addresses_that_are_taken_are_named_with_others_like_them() -> None:
    taken = {"type": "urn:wirewright:problem:address-taken", "addresses": ["10.7.0.9", "10.7.0.10"]}
    with pytest.raises(AddressTakenError) as error:
        await Coordinator([(409, taken)]).ledger().commit(Change(ended=(key(1),)), 7, "name")
    assert list(map(str, error.value.addresses)) == ["10.7.0.9", "10.7.0.10"]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {**EMPTY, "version": -1},
        {**EMPTY, "leases": [{"public_key": "x"}]},
        {**EMPTY, "quarantined": [{"address": "10.7.0.300", "public_key": str(key(1)), "remaining": 1}]},
        {**EMPTY, "successions": [{"old": str(key(1)), "new": str(key(2)), "remaining": "1"}]},
    ],
)
async def test_what_is_no_coordinator_is_told(answer: Any) -> None:
    with pytest.raises(StoreError, match="no coordinator"):
        await Coordinator([(200, answer)]).ledger().load()


async def test_an_answer_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_store, "LARGEST", 100)
    with pytest.raises(StoreError, match="away"):
        await Coordinator([(200, {**EMPTY, "more": "x" * 100})]).ledger().load()


async def test_while_the_coordinator_rests_it_is_not_asked_again_at_once() -> None:
    coordinator = Coordinator([httpx2.ConnectError("refused")] * 3)
    ledger = coordinator.ledger()
    for _ in range(5):
        with pytest.raises(StoreError, match="away"):
            await ledger.commit(Change(ended=(key(1),)), 7, "name")
    assert len(coordinator.asked) == lease_store.ATTEMPTS


def test_a_large_change_is_divided_and_nothing_of_it_is_lost() -> None:
    world = World()
    table = [key(number) for number in range(3 * lease_store.PIECE)]
    ended = Change(ended=tuple(table), freed=tuple(world.peers.pools[0].hosts()), forgotten=(key(1),))
    found = list(pieces(ended))
    assert len(found) > 3
    assert [each for piece in found for each in piece.ended] == table
    assert [each for piece in found for each in piece.freed] == list(ended.freed)
    assert [each for piece in found for each in piece.forgotten] == [key(1)]
    assert all(len(piece.ended) <= lease_store.PIECE for piece in found)
    assert list(pieces(Change(ended=(key(1),)))) == [Change(ended=(key(1),))]


async def test_of_a_change_that_was_kept_in_part_it_is_not_said_that_nothing_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease_store, "PIECE", 2)
    store = LedgerStore(Coordinator([(200, {"version": 1}), (507, {"detail": "full"})]).ledger())
    with pytest.raises(UnsureError, match="full"):
        await store.commit(Change(ended=(key(1), key(2), key(3))))


class Place:
    """A server of leases whose coordinator is away now and then."""

    def __init__(self) -> None:
        self.world = World()
        self.coordinator = Coordinator([(200, EMPTY)])
        store = LedgerStore(self.coordinator.ledger(self.world.clock.wall))
        settings = Settings(Terms())
        self.service = LeaseService(self.world.peers, store, self.world.clock, settings)
        self.world.peers.add(0)

    async def ask(self) -> dict[str, str]:
        return dict(await self.service.answer(at(0), key(0), RequestIp()))


async def test_while_the_coordinator_is_away_clients_are_told_and_leases_go_on_until_they_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease_store, "REST", 0.0)
    place = Place()
    await place.service.start()
    place.coordinator.answers = [(200, {"version": 8})]
    granted = await place.ask()
    held = {granted["ipv4"], granted["ipv6"]}
    place.coordinator.answers = [httpx2.ReadTimeout("")] * 3
    refused = await place.ask()
    assert refused["errno"] == "1"
    assert "the coordinator is away" in refused["errmsg"]
    assert place.world.peers.allowed(0) == held
    # It is not known whether that was kept, so that nothing else is decided before it was read again.
    place.coordinator.answers = [httpx2.ConnectError("refused")]
    assert (await place.ask())["errno"] == "1"
    # And what ends, ends at the interface in any case.
    place.world.clock.now += 3600
    place.coordinator.answers = [httpx2.ConnectError("refused")]
    with pytest.raises(StoreError):
        await place.service.expire()
    assert place.world.peers.allowed(0) == set()
    place.coordinator.answers = [(200, {**EMPTY, "version": 9}), (200, {"version": 10})]
    assert (await place.ask())["errno"] == "0"
    assert place.coordinator.asked[-1]["version"] == 9


async def test_a_change_that_was_kept_though_its_answer_was_lost_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease_store, "REST", 0.0)
    place = Place()
    await place.service.start()
    place.coordinator.answers = [httpx2.ReadTimeout("")] * 3
    assert (await place.ask())["errno"] == "1"
    [lease] = place.coordinator.asked[-1]["leases"]
    # The gateway was told of it meanwhile.
    await place.world.peers.change(key(0), [place.world.peers.pools[0].__class__(f"{lease['ipv4']}/32")])
    place.coordinator.answers = [(200, {**EMPTY, "version": 8, "leases": [lease]}), (200, {"version": 9})]
    granted = await place.ask()
    assert (granted["ipv4"], granted["ipv6"]) == (f"{lease['ipv4']}/32", f"{lease['ipv6']}/128")
    assert place.service.table.lease(key(0)) is not None
