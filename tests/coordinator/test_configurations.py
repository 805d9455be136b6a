"""Revisions of configurations, where devices came from, and many devices at once."""

from __future__ import annotations

from dataclasses import fields
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest

from wirewright.coordinator.clock import DAY, MINUTE, SECOND
from wirewright.coordinator.errors import ConflictError, InvalidError, NotFoundError
from wirewright.coordinator.services import (
    audit,
    bulk,
    changes,
    configurations,
    devices,
    endpoints,
    expiry,
    gateways,
    importing,
    leases,
    pools,
    reports,
    tunnels,
)
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.services.bulk import Action
from wirewright.coordinator.services.devices import NewDevice
from wirewright.coordinator.services.gateways import GatewayChange
from wirewright.coordinator.services.importing import Foreign
from wirewright.coordinator.services.pools import NewPool
from wirewright.coordinator.services.reports import DeviceReport
from wirewright.coordinator.services.tunnels import Parameters
from wirewright.dynamic import Lease
from wirewright.dynamic.records import Change
from wirewright.keys import PublicKey

from .actors import Actors, Clock, key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx2

    from wirewright.coordinator.storage import Storage, Transaction

pytestmark = pytest.mark.anyio


async def add(storage: Storage, name: str = "laptop") -> str:
    return (await storage.write(devices.create, SYSTEM, NewDevice(name, key()))).device.id


async def revisions(storage: Storage, device: str) -> tuple[int, int | None]:
    async def work(tx: Transaction) -> tuple[int, int | None]:
        row = (await devices.get(tx, SYSTEM, device)).device
        found = configurations.of(row, await changes.found(tx, row.gateway_id))
        assert found.is_behind == (found.taken is None or found.taken < found.current)
        return found.current, found.taken

    return await storage.read(work)


async def test_a_change_of_the_gateway_leaves_devices_behind_until_they_take_it(
    storage: Storage, actors: Actors
) -> None:
    old = await add(storage, "old")
    assert await revisions(storage, old) == (1, 1)
    for change in (
        GatewayChange(endpoint="vpn.example:1"),
        GatewayChange(dns=("192.0.2.53",)),
        GatewayChange(mtu=1300),
        GatewayChange(public_key=key()),
        # The same once more is no change.
        GatewayChange(mtu=1300),
    ):
        await storage.write(gateways.update, SYSTEM, actors.gateway, change)
    assert await revisions(storage, old) == (5, 1)
    # One that comes now begins at its own 1, with what is current.
    new = await add(storage, "new")
    assert await revisions(storage, new) == (1, 1)
    for _ in range(2):
        await storage.write(configurations.take, SYSTEM, old)
        assert await revisions(storage, old) == (5, 5)
    # Twice the same is written down once.
    (line,) = (await storage.read(audit.entries, None, 200, action="device.configuration")).items
    assert (line.subject, line.detail) == (old, {"name": "old", "revision": 5})
    await storage.write(gateways.update, SYSTEM, actors.gateway, GatewayChange(mtu=1400))
    assert await revisions(storage, old) == (6, 5)
    assert await revisions(storage, new) == (2, 1)


async def said(storage: Storage, device: str) -> Parameters:
    """What the device's configuration says."""
    return await storage.read(tunnels.of_device, SYSTEM, device)


async def change_gateway(storage: Storage, actors: Actors, **change: object) -> None:
    wanted = GatewayChange(**change)  # type: ignore[arg-type]
    await storage.write(gateways.update, SYSTEM, actors.gateway, wanted)


async def lease(storage: Storage, actors: Actors, device: str, address: str | None) -> None:
    """Have a device get an address that it asks for, for a minute, or leave what it has."""
    row = (await storage.read(devices.get, SYSTEM, device)).device
    of = PublicKey.from_hex(row.public_key.hex())
    version, _ = await storage.read(leases.load, actors.gateway)
    change = Change(ended=(of,))
    if address is not None:
        change = Change(leases=(Lease(of, IPv4Address(address), None, storage.clock() // SECOND, 60),))
    name = f"{version:08}-0000-7000-8000-000000000000"
    await storage.write(leases.commit, actors.gateway, change, version=version, change_id=name)


OF_THE_DEVICE = "addresses"
CHANGES: dict[str, Callable[[Storage, Actors, str], Awaitable[object]]] = {
    OF_THE_DEVICE: lambda storage, actors, device: lease(storage, actors, device, "10.88.7.7"),
    "gateway_public_key": lambda storage, actors, _: change_gateway(storage, actors, public_key=key()),
    "endpoint": lambda storage, actors, _: change_gateway(storage, actors, endpoint="vpn.example:1"),
    "dns": lambda storage, actors, _: change_gateway(storage, actors, dns=("192.0.2.53",)),
    "mtu": lambda storage, actors, _: change_gateway(storage, actors, mtu=1300),
    "pools": lambda storage, actors, _: storage.write(
        pools.create, SYSTEM, NewPool(actors.gateway, "10.99.0.0/24")
    ),
}


@pytest.mark.parametrize("ingredient", [each.name for each in fields(Parameters)])
async def test_a_change_of_whatever_a_configuration_says_is_another_revision(
    storage: Storage, actors: Actors, ingredient: str
) -> None:
    device, other = await add(storage), await add(storage, "other")
    before = await said(storage, device)
    await CHANGES[ingredient](storage, actors, device)
    after = await said(storage, device)
    names = [each.name for each in fields(Parameters)]
    assert [each for each in names if getattr(before, each) != getattr(after, each)] == [ingredient]
    assert (await revisions(storage, device))[0] == 2
    # What is one device's alone is another's no more than before.
    assert (await revisions(storage, other))[0] == (1 if ingredient == OF_THE_DEVICE else 2)


async def test_a_pool_that_goes_is_another_revision_too(storage: Storage, actors: Actors) -> None:
    pool = await storage.write(pools.create, SYSTEM, NewPool(actors.gateway, "10.99.0.0/24"))
    device = await add(storage)
    assert await revisions(storage, device) == (1, 1)
    await storage.write(pools.delete, SYSTEM, pool.id)
    assert await revisions(storage, device) == (2, 1)


async def test_who_asks_for_addresses_has_them_and_is_behind_once_they_end_by_time(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    device = await add(storage)
    await lease(storage, actors, device, "10.88.7.7")
    assert await revisions(storage, device) == (2, 2)
    # For longer, that is no other address.
    await lease(storage, actors, device, "10.88.7.7")
    assert await revisions(storage, device) == (2, 2)
    await lease(storage, actors, device, "10.88.7.8")
    assert await revisions(storage, device) == (3, 3)
    await lease(storage, actors, device, None)
    assert await revisions(storage, device) == (4, 4)
    await lease(storage, actors, device, "10.88.7.8")
    clock.now += MINUTE
    await storage.write(expiry.expire)
    assert "10.88.7.8" not in map(str, (await said(storage, device)).addresses)
    assert await revisions(storage, device) == (6, 5)
    # Who was behind is not up to date because of an address.
    await lease(storage, actors, device, "10.88.7.9")
    assert await revisions(storage, device) == (7, 5)


async def test_another_key_is_told_to_the_gateway_and_counts_as_taken(
    storage: Storage, actors: Actors
) -> None:
    device, other = await add(storage), await add(storage, "other")
    before = (await storage.read(changes.state, actors.gateway)).revision
    wanted = key()
    await storage.write(devices.change_key, SYSTEM, device, wanted)
    assert await revisions(storage, device) == (2, 2)
    state = await storage.read(changes.state, actors.gateway)
    told = {each.id: str(each.public_key) for each in state.devices}
    assert told[device] == wanted
    assert state.revision == before + 1
    # The same key again changes nothing, and a key of another device is refused.
    await storage.write(devices.change_key, SYSTEM, device, wanted)
    with pytest.raises(ConflictError, match="exists already"):
        await storage.write(devices.change_key, SYSTEM, other, wanted)
    lines = await storage.read(audit.entries, None, 200, action="device.key")
    assert [line.subject for line in lines.items] == [device]


async def test_where_a_device_came_from_is_kept_with_first_and_last(
    storage: Storage, actors: Actors, clock: Clock
) -> None:
    device, began = await add(storage), clock.now

    async def seen_at(endpoint: str) -> None:
        clock.now += MINUTE
        report = DeviceReport(device, 1, 1, clock.now, endpoint)
        await storage.write(reports.record, actors.gateway, [report])

    for endpoint in ("192.0.2.1:1", "192.0.2.1:1", "192.0.2.2:2", "192.0.2.1:1", "192.0.2.1:1", ""):
        await seen_at(endpoint)
    found = await storage.read(endpoints.of, device)
    assert [
        (each.endpoint, (each.first_seen - began) // MINUTE, (each.last_seen - began) // MINUTE)
        for each in found
    ] == [("192.0.2.1:1", 1, 4), ("192.0.2.2:2", 3, 3)]
    for number in range(30):
        await seen_at(f"198.51.100.{number}:9")
    found = await storage.read(endpoints.of, device)
    assert len(found) == endpoints.KEPT
    assert found[0].endpoint == "198.51.100.29:9"
    await storage.write(devices.delete, SYSTEM, device)
    assert await storage.read(endpoints.of, device) == []


async def test_many_are_changed_together_or_none(storage: Storage, actors: Actors) -> None:
    ids = [await add(storage, f"device {number}") for number in range(4)]
    assert await storage.write(bulk.apply, SYSTEM, [*ids, ids[0]], Action.DISABLE) == 4
    for device in ids:
        assert not (await storage.read(devices.get, SYSTEM, device)).device.active
    gone = "00000000-0000-7000-8000-000000000000"
    with pytest.raises(NotFoundError, match="Nothing was changed"):
        await storage.write(bulk.apply, SYSTEM, [*ids, gone], Action.REMOVE)
    for refused in ([], [gone] * 1 + [f"{gone[:-4]}{number:04}" for number in range(1, 300)]):
        with pytest.raises(InvalidError):
            await storage.write(bulk.apply, SYSTEM, refused, Action.ENABLE)
    assert len((await storage.read(devices.listed, SYSTEM, None, 200)).items) == 4
    assert await storage.write(bulk.apply, SYSTEM, ids[:2], Action.ENABLE) == 2
    ends = storage.clock() + DAY
    assert await storage.write(bulk.apply, SYSTEM, ids[:3], Action.EXPIRE, ends) == 3
    assert await storage.write(bulk.apply, SYSTEM, ids[:1], Action.EXPIRE) == 1
    moved = [(await storage.read(devices.get, SYSTEM, device)).device.expires_at for device in ids]
    assert moved == [None, ends, ends, None]
    assert await storage.write(bulk.apply, SYSTEM, ids, Action.REMOVE) == 4
    assert (await storage.read(devices.listed, SYSTEM, None, 200)).items == []


async def test_the_api_moves_the_expiry_of_many_and_takes_one_for_nothing_else(
    storage: Storage, api: httpx2.AsyncClient
) -> None:
    ids = [await add(storage, f"device {number}") for number in range(2)]
    ends = "2040-01-02T03:04:05Z"
    for expires_at in (ends, None):
        body = {"devices": ids, "action": "expire", "expires_at": expires_at}
        assert (await api.post("/devices/bulk", json=body)).json() == {"devices": 2}
        found = [(await api.get(f"/devices/{device}")).json()["expires_at"] for device in ids]
        assert found == [expires_at] * 2
    refused: list[dict[str, Any]] = [
        {"devices": ids, "action": "expire"},
        {"devices": ids, "action": "disable", "expires_at": ends},
        {"devices": ids, "action": "remove", "expires_at": None},
    ]
    for body in refused:
        answer = await api.post("/devices/bulk", json=body)
        assert answer.status_code == 422
        assert "`expires_at` goes with the action `expire`" in answer.text


async def test_devices_of_another_provisioner_come_all_or_none(storage: Storage, actors: Actors) -> None:
    twice = key()
    found = [
        Foreign(name="phone", public_key=key(), addresses=["10.88.0.20"]),
        # No pool has this one, so that it gets the next free ones.
        Foreign(name="laptop", public_key=twice, addresses=["10.8.0.2"], enabled=False),
    ]
    wrong = [*found, Foreign(name="copy", public_key=twice)]
    with pytest.raises(ConflictError, match=r"^copy: .* Nothing was brought along\.$"):
        await storage.write(importing.bring, SYSTEM, wrong, None)
    assert (await storage.read(devices.listed, SYSTEM, None, 200)).items == []
    await storage.write(importing.bring, SYSTEM, found, None)
    items = (await storage.read(devices.listed, SYSTEM, None, 200)).items
    assert {each.device.name: each.device.enabled for each in items} == {"phone": True, "laptop": False}
    held = {each.device.name: [str(address) for address in each.addresses] for each in items}
    assert held == {"phone": ["10.88.0.20"], "laptop": ["10.88.0.2", "fd88::2"]}
    with pytest.raises(InvalidError):
        importing.read('[{"name": "x", "public_key": "y", "private_key": "z"}]')
    with pytest.raises(InvalidError, match="Choose the file"):
        importing.read("")
