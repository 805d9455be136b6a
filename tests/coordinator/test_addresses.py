"""Addresses: who gets which, and that nobody gets another's."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError

from wirewright.coordinator.clock import HOUR
from wirewright.coordinator.errors import ConflictError, InvalidError, PoolFullError
from wirewright.coordinator.identity import new_id
from wirewright.coordinator.services import addresses, changes, clearing, devices, networks, pools
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.services.devices import DeviceDetails, NewDevice
from wirewright.coordinator.storage.tables import Address, Pool
from wirewright.gateway.instructions import Settings

from .actors import Actors, Clock, key

if TYPE_CHECKING:
    import httpx2

    from wirewright.coordinator.storage import Storage, Transaction

pytestmark = pytest.mark.anyio


async def add(storage: Storage, *wanted: str) -> DeviceDetails:
    new = NewDevice("device", key(), addresses=tuple(ip_address(text) for text in wanted))
    return await storage.write(devices.create, SYSTEM, new)


def first(details: DeviceDetails) -> str:
    return str(details.addresses[0])


async def test_a_full_pool_is_said_to_be_full(storage: Storage) -> None:
    await Actors.settle(storage, "192.0.2.0/29")
    # .0 and .7 are no device's, .1 is the gateway's.
    given = [first(await add(storage)) for _ in range(5)]
    assert given == [f"192.0.2.{number}" for number in range(2, 7)]
    with pytest.raises(PoolFullError, match=r"192\.0\.2\.0/29"):
        await add(storage)


async def test_what_failed_leaves_nothing(storage: Storage) -> None:
    await Actors.settle(storage, "192.0.2.0/29", "fd00::/64")
    for _ in range(5):
        await add(storage)
    with pytest.raises(PoolFullError):
        await add(storage)
    found = await storage.read(devices.listed, SYSTEM, None, 200)
    assert len(found.items) == 5
    usage = await storage.read(addresses.usage)
    assert sorted(usage.values()) == [(6, 0), (6, 0)]


async def test_a_second_pool_takes_over_when_the_first_is_full(storage: Storage) -> None:
    await Actors.settle(storage, "192.0.2.0/30", "198.51.100.0/29")
    assert [first(await add(storage)) for _ in range(2)] == ["192.0.2.2", "198.51.100.2"]


async def test_a_released_address_rests_before_somebody_else_gets_it(storage: Storage, clock: Clock) -> None:
    await Actors.settle(storage, "192.0.2.0/30")
    only = await add(storage)
    await storage.write(devices.delete, SYSTEM, only.device.id)
    clock.now += HOUR - 1
    with pytest.raises(PoolFullError):
        await add(storage)
    clock.now += 1
    assert first(await add(storage)) == "192.0.2.2"


async def test_an_address_in_quarantine_cannot_be_asked_for(storage: Storage, clock: Clock) -> None:
    await Actors.settle(storage, "192.0.2.0/29")
    device = await add(storage, "192.0.2.5")
    await storage.write(devices.delete, SYSTEM, device.device.id)
    with pytest.raises(ConflictError):
        await add(storage, "192.0.2.5")
    clock.now += HOUR
    assert first(await add(storage, "192.0.2.5")) == "192.0.2.5"


async def test_addresses_come_back_as_late_as_they_can(storage: Storage, clock: Clock) -> None:
    await Actors.settle(storage, "192.0.2.0/29")
    device = await add(storage)
    await storage.write(devices.delete, SYSTEM, device.device.id)
    clock.now += 2 * HOUR
    given = [first(await add(storage)) for _ in range(5)]
    assert given == ["192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6", "192.0.2.2"]


async def test_a_reserved_address_is_given_to_nobody(storage: Storage) -> None:
    actors = await Actors.settle(storage, "192.0.2.0/29")
    wanted = ip_address("192.0.2.2")
    row = await storage.write(pools.reserve, SYSTEM, actors.gateway, wanted, "printer")
    assert first(await add(storage)) == "192.0.2.3"
    with pytest.raises(ConflictError):
        await add(storage, "192.0.2.2")
    await storage.write(addresses.cancel_reservation, SYSTEM, row.id)
    assert first(await add(storage, "192.0.2.2")) == "192.0.2.2"


@pytest.mark.parametrize("wanted", ["192.0.2.0", "192.0.2.7", "192.0.3.1", "fd00::5"])
async def test_no_device_has_an_address_that_cannot_be(storage: Storage, wanted: str) -> None:
    await Actors.settle(storage, "192.0.2.0/29")
    with pytest.raises(InvalidError):
        await add(storage, wanted)


async def test_the_database_itself_refuses_an_address_twice(storage: Storage) -> None:
    """Whatever the code above it does: the row is written past all of it."""
    actors = await Actors.settle(storage, "192.0.2.0/29")
    device = await add(storage)

    async def write(tx: Transaction, state: str) -> None:
        (pool,) = await addresses.pools_of(tx, actors.gateway)
        row: dict[str, object] = {"id": new_id(tx.now), "pool_id": pool.id, "kind": "leased", "state": state}
        row |= {"value": device.addresses[0].packed, "since": tx.now, "until": None, "note": ""}
        await tx.session.execute(insert(Address).values(row))

    for state in ("held", "quarantined"):
        with pytest.raises(IntegrityError, match=r"(?i)unique"):
            await storage.write(write, state)
    # History may say it as often as it was so.
    await storage.write(write, "released")
    await storage.write(write, "released")


async def test_a_candidate_that_another_took_meanwhile_is_passed_over(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the search had run without the lock: it finds an address that is held already."""
    await Actors.settle(storage, "192.0.2.0/29")
    await add(storage, "192.0.2.2")
    search, found = addresses._free, iter([ip_address("192.0.2.2").packed])

    async def stale(tx: Transaction, pool: Pool) -> bytes | None:
        return next(found, None) or await search(tx, pool)

    monkeypatch.setattr(addresses, "_free", stale)
    assert first(await add(storage)) == "192.0.2.3"


async def test_the_history_of_addresses_is_cleared_after_its_time(storage: Storage, clock: Clock) -> None:
    await Actors.settle(storage, "192.0.2.0/29")
    device = await add(storage)
    await storage.write(devices.delete, SYSTEM, device.device.id)

    async def states(tx: Transaction) -> list[str]:
        query = text("SELECT state FROM address WHERE value = :value ORDER BY since")
        return list(await tx.session.scalars(query, {"value": device.addresses[0].packed}))

    clock.now += HOUR
    await storage.write(clearing.clear)
    assert await storage.read(states) == ["released"]
    clock.now += clearing.HISTORY
    await storage.write(clearing.clear)
    assert await storage.read(states) == []


async def test_pools_do_not_overlap(storage: Storage) -> None:
    actors = await Actors.settle(storage, "10.0.0.0/16")
    for network in ("10.0.0.0/24", "10.0.0.0/8", "10.0.255.0/24"):
        with pytest.raises(ConflictError, match="overlaps"):
            await storage.write(pools.create, SYSTEM, pools.NewPool(actors.gateway, network))
    await storage.write(pools.create, SYSTEM, pools.NewPool(actors.gateway, "10.1.0.0/16"))


@pytest.mark.parametrize(
    "network", ["10.0.0.1/24", "224.0.0.0/8", "fe80::/64", "127.0.0.0/8", "0.0.0.0/0", "x"]
)
async def test_a_network_that_can_be_no_pool_is_refused(storage: Storage, network: str) -> None:
    actors = await Actors.settle(storage)
    with pytest.raises(InvalidError):
        await storage.write(pools.create, SYSTEM, pools.NewPool(actors.gateway, network))


@pytest.mark.parametrize(
    ("network", "why"),
    [
        ("fc00::/7", "larger than /32"),
        ("fd00::/31", "larger than /32"),
        ("8.0.0.0/7", "larger than /8"),
        ("240.0.0.0/24", "overlaps 240.0.0.0/4"),
        ("64:ff9b:1::/64", "overlaps 64:ff9b:1::/48"),
        ("fd00:ec2::/64", "overlaps fd00:ec2::/32"),
        # Its first address, which the gateway would get, has the metadata of a cloud.
        ("fd00:a9fe:a9fe::/64", "the gateway's address fd00:a9fe:a9fe::1/64"),
    ],
)
async def test_what_gateways_do_not_take_the_api_refuses_and_says_why(
    api: httpx2.AsyncClient, actors: Actors, network: str, why: str
) -> None:
    before = (await api.get("/pools")).json()
    answer = await api.post("/pools", json={"gateway": actors.gateway, "network": network})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["detail"].startswith("Gateways do not take this: ")
    assert why in answer.json()["detail"]
    assert (await api.get("/pools")).json() == before


@pytest.mark.parametrize("network", ["11.0.0.0/8", "100.64.0.0/10", "fd01::/32", "10.0.0.0/30", "fd01::/126"])
async def test_what_the_api_takes_gateways_take(storage: Storage, network: str) -> None:
    actors = await Actors.settle(storage, "192.168.7.0/24")
    await storage.write(pools.create, SYSTEM, pools.NewPool(actors.gateway, network))
    state = await storage.read(changes.state, actors.gateway)
    assert ip_network(network) in Settings.from_json(state.settings.to_json()).pools


def test_the_address_after_the_last_is_the_first() -> None:
    assert networks.following(ip_address("10.0.0.255").packed) == ip_address("10.0.1.0").packed
    assert networks.following(b"\xff" * 16) == bytes(16)
