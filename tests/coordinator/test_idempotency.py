"""Creates that are sent twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from wirewright.coordinator.services import clearing
from wirewright.coordinator.services.idempotency import KEPT

from .actors import key

if TYPE_CHECKING:
    import httpx2

    from wirewright.coordinator.storage import Storage

    from .actors import Actors, Clock

pytestmark = pytest.mark.anyio

ONCE = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


async def test_the_same_request_has_the_same_answer(api: httpx2.AsyncClient) -> None:
    body = {"name": "laptop", "public_key": key()}
    first = await api.post("/devices", json=body, headers=ONCE)
    again = await api.post("/devices", json=body, headers=ONCE)
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert first.status_code == 201
    assert len((await api.get("/devices")).json()["items"]) == 1


async def test_an_answer_with_a_secret_is_given_again_too(api: httpx2.AsyncClient) -> None:
    body = {"name": "ci", "scopes": ["devices:read"]}
    first = await api.post("/tokens", json=body, headers=ONCE)
    again = await api.post("/tokens", json=body, headers=ONCE)
    assert first.json()["token"] == again.json()["token"]


@pytest.mark.parametrize("other", ["body", "path"])
async def test_another_request_with_the_same_key_is_refused(api: httpx2.AsyncClient, other: str) -> None:
    assert (await api.post("/users", json={"name": "x"}, headers=ONCE)).status_code == 201
    if other == "body":
        refused = await api.post("/users", json={"name": "y"}, headers=ONCE)
    else:
        refused = await api.post("/devices", json={"name": "x", "public_key": key()}, headers=ONCE)
    assert refused.status_code == 422
    assert "another request" in refused.json()["detail"]


async def test_many_at_once_are_one(api: httpx2.AsyncClient) -> None:
    body = {"name": "laptop", "public_key": key()}
    answers = await asyncio.gather(*(api.post("/devices", json=body, headers=ONCE) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_what_was_refused_may_be_tried_again(api: httpx2.AsyncClient) -> None:
    """Nothing was done, so nothing is kept: with the cause away the same request goes well."""
    body = {"name": "laptop", "public_key": key()}
    blocking = (await api.post("/devices", json=body)).json()
    assert (await api.post("/devices", json=body, headers=ONCE)).status_code == 409
    await api.delete(f"/devices/{blocking['id']}")
    assert (await api.post("/devices", json=body, headers=ONCE)).status_code == 201


async def test_a_key_is_its_users_own(api: httpx2.AsyncClient, actors: Actors) -> None:
    body = {"name": "laptop", "public_key": key()}
    mine = await api.post("/devices", json=body, headers=ONCE | actors.bearer("member"))
    theirs = await api.post("/devices", json=body, headers=ONCE | actors.bearer("other"))
    assert (mine.status_code, theirs.status_code) == (201, 409)


async def test_another_token_of_the_user_does_not_get_the_answer(api: httpx2.AsyncClient) -> None:
    """The answer is sealed with the token that asked; the database alone cannot open it."""
    made = await api.post("/tokens", json={"name": "second", "scopes": ["admin"]})
    body = {"name": "ci", "scopes": ["devices:read"]}
    await api.post("/tokens", json=body, headers=ONCE)
    second = {"Authorization": f"Bearer {made.json()['token']}"}
    assert (await api.post("/tokens", json=body, headers=ONCE | second)).status_code == 409


async def test_an_answer_is_forgotten_after_its_time(
    api: httpx2.AsyncClient, storage: Storage, clock: Clock
) -> None:
    await api.post("/users", json={"name": "x"}, headers=ONCE)
    clock.now += KEPT
    await storage.write(clearing.clear)
    assert (await api.post("/users", json={"name": "y"}, headers=ONCE)).status_code == 201
