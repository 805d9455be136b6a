"""Enrolments that are sent again, or all at once: what was seen once is worth nothing more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from .test_enrolment import Client, enrol, invite

if TYPE_CHECKING:
    import httpx2

pytestmark = pytest.mark.anyio


async def names(api: httpx2.AsyncClient) -> list[str]:
    return [device["name"] for device in (await api.get("/devices")).json()["items"]]


async def test_one_enrolment_that_is_sent_many_times_at_once_is_one_device_and_one_use(
    api: httpx2.AsyncClient,
) -> None:
    made = await invite(api, uses=5)
    client = Client()
    answers = await asyncio.gather(*(enrol(api, client, made["invitation"]) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["device"]["id"] for answer in answers}) == 1
    assert (await api.get(f"/invitations/{made['id']}")).json()["uses_left"] == 4
    assert await names(api) == ["phone"]


async def test_of_many_at_once_no_more_are_enrolled_than_an_invitation_is_for(
    api: httpx2.AsyncClient,
) -> None:
    made = await invite(api, uses=3)
    clients = [Client(f"phone {number}") for number in range(8)]
    answers = await asyncio.gather(*(enrol(api, client, made["invitation"]) for client in clients))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [403] * 5
    addresses = [each for answer in answers for each in answer.json().get("tunnel", {}).get("addresses", [])]
    assert len(addresses) == len(set(addresses)) == 6
    assert len(await names(api)) == 3


async def test_an_enrolment_that_is_sent_again_lets_no_disabled_device_in(api: httpx2.AsyncClient) -> None:
    client = Client()
    invitation = (await invite(api))["invitation"]
    device = (await enrol(api, client, invitation)).json()["device"]["id"]
    assert (await api.post(f"/devices/{device}/disable")).status_code == 200
    again = await enrol(api, client, invitation)
    assert again.status_code == 200
    assert not again.json()["device"]["enabled"]
    assert not (await api.get(f"/devices/{device}")).json()["enabled"]


async def test_an_enrolment_that_is_sent_again_brings_no_removed_device_back(api: httpx2.AsyncClient) -> None:
    client = Client()
    invitation = (await invite(api))["invitation"]
    device = (await enrol(api, client, invitation)).json()["device"]["id"]
    assert (await api.delete(f"/devices/{device}")).status_code == 204
    assert (await enrol(api, client, invitation)).status_code == 403
    assert await names(api) == []
