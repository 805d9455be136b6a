"""Many clients that enrol at once, wherever an answer is to be had, and what must hold afterwards."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

import httpx2

from wirewright.client import proof
from wirewright.coordinator.limits import Limiter
from wirewright.dynamic.churn import Rate
from wirewright.keys import PublicKey, SecretKey

UNLIMITED = Rate(10**9, 1e-9)
# What a client may see that asking again cures: the database away, the server full, another one before it.
PASSING = {408, 429, 503}


def no_limits() -> Limiter:
    return Limiter(UNLIMITED, UNLIMITED)


@dataclass
class Enrolled:
    """A client that was told that it is enrolled."""

    public_key: str
    device: str
    addresses: tuple[str, ...]
    tries: int


async def enrol(
    replicas: Sequence[httpx2.AsyncClient], number: int, invitation: str, coordinator: PublicKey
) -> Enrolled:
    """Enrol with one key, at one replica after another, until one says that it is done."""
    own = SecretKey.generate()
    name = f"device {number}"
    said = proof.message(invitation.split("_")[1], own.public_key, coordinator, name)
    made = proof.prove(own, coordinator, said)
    body = {
        "invitation": invitation,
        "public_key": str(own.public_key),
        "name": name,
        "proof": b64encode(made).decode(),
    }
    tries = 0
    while True:
        replica = replicas[(number + tries) % len(replicas)]
        tries += 1
        try:
            answer = await replica.post("/api/v1/enrolment", json=body)
        except httpx2.TransportError:
            # It was killed, or is: whether it had done its work is for the next one to say.
            await asyncio.sleep(0.05)
            continue
        if answer.status_code in PASSING:
            await asyncio.sleep(0.05)
            continue
        assert answer.status_code in {200, 201}, answer.text
        device = answer.json()["device"]
        return Enrolled(str(own.public_key), device["id"], tuple(device["addresses"]), tries)


async def check(client: httpx2.AsyncClient, enrolled: Sequence[Enrolled], bearer: dict[str, str]) -> None:
    """Check that no address was given twice, and that no acknowledged enrolment was lost."""
    found: dict[str, dict[str, object]] = {}
    after: str | None = None
    while True:
        parameters = {"limit": "200"} | ({"after": after} if after else {})
        answer = await client.get("/api/v1/devices", params=parameters, headers=bearer)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found |= {device["id"]: device for device in page["items"]}
        after = page.get("next")
        if after is None:
            break
    for each in enrolled:
        assert found[each.device]["public_key"] == each.public_key
        assert found[each.device]["addresses"] == list(each.addresses)
    given = [address for device in found.values() for address in list_of(device["addresses"])]
    assert len(given) == len(set(given)) == 2 * len(found)
    assert len(found) == len(enrolled)


def list_of(value: object) -> list[str]:
    assert isinstance(value, list)
    return value
