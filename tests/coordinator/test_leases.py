"""Leases that a gateway's server decides and the coordinator keeps, in process and over the API."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

import pytest

from wirewright.coordinator.clock import HOUR, SECOND
from wirewright.coordinator.errors import ConflictError
from wirewright.coordinator.services import (
    addresses,
    audit,
    changes,
    devices,
    expiry,
    gateways,
    leases,
    pools,
)
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.services.devices import DeviceChange, NewDevice
from wirewright.coordinator.storage.bulletin import DEADLINES
from wirewright.dynamic import AddressTakenError, Change, Lease, Quarantine, StoreError, link_local
from wirewright.dynamic.messages import RequestIp, Wish
from wirewright.dynamic.records import UnsureError
from wirewright.gateway.instructions import PutDevice
from wirewright.keys import PublicKey, SecretKey

from .actors import Actors, Clock, key
from .leasing import Site, Wall, api_ledger, stored_ledger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wirewright.coordinator.storage import Storage, Transaction
    from wirewright.gateway.instructions import Instruction
    from wirewright.gateway.lease_store import Ledger

pytestmark = pytest.mark.anyio


@pytest.fixture
async def site(storage: Storage, actors: Actors, clock: Clock) -> AsyncIterator[Site]:
    """A gateway whose clock is wrong by two hours: embedded with SQLite, over the API with PostgreSQL."""
    wall = Wall(clock, -7200)
    async with AsyncExitStack() as stack:
        if storage.url.is_sqlite:
            ledger: Ledger = stored_ledger(storage, actors, wall)
        else:
            ledger = await stack.enter_async_context(api_ledger(storage, actors, wall))
        made = Site(storage, actors, wall, ledger)
        await made.service.start()
        yield made


async def device_of(site: Site, of: PublicKey) -> devices.DeviceDetails:
    found = await site.storage.read(devices.listed, SYSTEM, None, 200)
    [details] = [each for each in found.items if each.device.public_key == bytes(of)]
    return details


async def actions(site: Site, of: PublicKey) -> list[str]:
    device = (await device_of(site, of)).device
    lines = await site.storage.read(audit.entries, None, 200, subject=device.id)
    return sorted(line.action for line in lines.items)


async def usage(site: Site) -> tuple[int, int]:
    """How many addresses of all pools are held by others than the gateway, and how many in quarantine."""
    counts = await site.storage.read(addresses.usage)
    held = sum(each for each, _ in counts.values()) - len(counts)
    return held, sum(each for _, each in counts.values())


def lease_of(of: PublicKey, *texts: str, start: int = 0, duration: int = 3600) -> Lease:
    found = [ip_address(text) for text in texts]
    v4 = next((each for each in found if isinstance(each, IPv4Address)), None)
    v6 = next((each for each in found if isinstance(each, IPv6Address)), None)
    return Lease(of, v4, v6, start, duration)


async def test_a_lease_is_kept_told_prolonged_and_ended(site: Site, clock: Clock) -> None:
    client = await site.client()
    assert (await device_of(site, client)).addresses == ()
    granted = await site.ask(client)
    held = [granted["ipv4"], granted["ipv6"]]
    told = (await site.told())[client]
    assert [str(each) for each in told.addresses] == [str(each) for each in told.leased] == held
    [row, _] = (await site.storage.read(addresses.held, "leased", None, 50)).items
    assert (row.since, row.until) == (clock.now, clock.now + HOUR)
    revision = (await site.storage.read(changes.state, site.actors.gateway)).revision
    clock.now += HOUR // 2
    again = await site.ask(client)
    assert [again["ipv4"], again["ipv6"]] == held
    [row, _] = (await site.storage.read(addresses.held, "leased", None, 50)).items
    assert (row.since, row.until) == (clock.now, clock.now + HOUR)
    # Nothing that the gateway must know has changed.
    assert (await site.storage.read(changes.state, site.actors.gateway)).revision == revision
    await site.ask(client, RequestIp(ipv4=Wish.NONE, ipv6=Wish.NONE))
    assert (await site.told())[client].addresses == ()
    assert await usage(site) == (0, 2)
    assert await actions(site, client) == ["device.create", "lease.end", "lease.grant"]


async def news(site: Site, after: int) -> list[Instruction]:
    """What the gateway is told after a revision, without waiting for more."""

    async def work(tx: Transaction) -> list[Instruction]:
        gateway = await changes.found(tx, site.actors.gateway)
        return list(await changes.changes_after(tx, gateway, after) or [])

    return await site.storage.read(work)


async def test_the_gateway_is_told_of_what_comes_and_goes_and_nothing_else(site: Site, clock: Clock) -> None:
    client = await site.client()
    revision = (await site.storage.read(changes.state, site.actors.gateway)).revision
    granted = await site.ask(client)
    clock.now += HOUR // 2
    await site.ask(client)
    await site.ask(client, RequestIp(ipv6=Wish.NONE))
    await site.ask(client, RequestIp(ipv4=Wish.NONE, ipv6=Wish.NONE))
    told = await news(site, revision)
    held = [[str(each) for each in put.device.leased] for put in told if isinstance(put, PutDevice)]
    assert held == [[granted["ipv4"], granted["ipv6"]], [granted["ipv4"]], []]


async def test_a_lease_takes_the_place_of_the_one_before_whatever_else_the_change_says(site: Site) -> None:
    client, now = await site.client(), site.wall.wall()
    await commit(site, Change((lease_of(client, "10.88.0.9", "fd88::9", start=now),)))
    await commit(site, Change((lease_of(client, "10.88.0.10", start=now),)))
    assert [str(each) for each in (await site.told())[client].leased] == ["10.88.0.10/32"]
    assert await usage(site) == (1, 2)


async def test_who_waits_for_what_ends_hears_of_a_new_end(site: Site) -> None:
    client = await site.client()
    with site.storage.bulletin.subscribe(DEADLINES) as heard:
        await site.ask(client)
        async with asyncio.timeout(60):
            await heard.wait()


async def test_a_lease_ends_at_the_coordinator_though_its_gateway_be_gone(site: Site, clock: Clock) -> None:
    client = await site.client()
    await site.ask(client)
    assert await site.storage.write(expiry.expire) == clock.now + HOUR
    clock.now += HOUR
    await site.storage.write(expiry.expire)
    assert (await site.told())[client].leased == ()
    assert (await actions(site, client)).count("lease.end") == 2
    # The gateway sees the same by its own clock, and says so again: nothing comes of it.
    revision = (await site.storage.read(changes.state, site.actors.gateway)).revision
    await site.service.expire()
    assert site.service.counters["expired"] == 1
    assert (await site.storage.read(changes.state, site.actors.gateway)).revision == revision


async def test_quarantine_lasts_as_long_as_the_lease_and_does_not_keep_out_its_last_holder(
    site: Site, clock: Clock
) -> None:
    client, other = await site.client(), await site.client()
    held = ip_address((await site.ask(client))["ipv4"].split("/")[0])
    assert isinstance(held, IPv4Address)
    await site.ask(client, RequestIp(ipv4=Wish.NONE, ipv6=Wish.NONE))
    clock.now += HOUR - SECOND
    refused = await site.ask(other, RequestIp(ipv4=held, ipv6=Wish.NONE))
    assert refused["ipv4"] != f"{held}/32"
    back = await site.ask(client, RequestIp(ipv6=Wish.NONE))
    assert back["ipv4"] == f"{held}/32"
    await site.ask(client, RequestIp(ipv4=Wish.NONE, ipv6=Wish.NONE))
    clock.now += HOUR
    await site.service.expire()
    given = await site.ask(other, RequestIp(ipv4=held, ipv6=Wish.NONE))
    assert given["ipv4"] == f"{held}/32"


async def test_a_pool_may_hold_addresses_back_for_longer_than_the_server_does(
    site: Site, clock: Clock
) -> None:
    async def lengthen(tx: Transaction) -> None:
        for pool in await addresses.pools_of(tx, site.actors.gateway):
            pool.quarantine = 5 * HOUR

    await site.storage.write(lengthen)
    client, other = await site.client(), await site.client()
    held = ip_address((await site.ask(client))["ipv4"].split("/")[0])
    assert isinstance(held, IPv4Address)
    await site.ask(client, RequestIp(ipv4=Wish.NONE, ipv6=Wish.NONE))
    clock.now += 2 * HOUR
    await site.service.expire()
    assert (await site.ask(other, RequestIp(ipv4=held, ipv6=Wish.NONE)))["ipv4"] != f"{held}/32"


async def test_what_was_administered_is_told_and_survives_a_lease_of_the_other_family(
    site: Site, clock: Clock
) -> None:
    client = await site.client(addresses=(ip_address("10.88.7.7"),))
    site.peers.peers[client].add(ip_network("10.88.7.7/32"))
    granted = await site.ask(client)
    assert granted["ipv4"] == "10.88.7.7/32"
    told = (await site.told())[client]
    assert [str(each) for each in told.leased] == [granted["ipv6"]]
    clock.now += 2 * HOUR
    await site.storage.write(expiry.expire)
    await site.service.expire()
    assert [str(each) for each in (await site.told())[client].addresses] == ["10.88.7.7/32"]
    assert site.peers.peers[client] == {ip_network(link_local(client)), ip_network("10.88.7.7/32")}


async def test_addresses_that_the_server_cannot_see_are_not_leased(site: Site) -> None:
    """Reserved ones, those of devices that are disabled, and of others that were removed."""
    storage, gateway = site.storage, site.actors.gateway
    hidden = [ip_address(f"10.88.0.{number}") for number in (50, 51, 52)]
    await storage.write(pools.reserve, SYSTEM, gateway, hidden[0], "printer")
    for address in hidden[1:]:
        made = await storage.write(
            devices.create, SYSTEM, NewDevice("x", key(), gateway, addresses=(address,))
        )
        if address == hidden[1]:
            await storage.write(devices.update, SYSTEM, made.device.id, DeviceChange(enabled=False))
        else:
            await storage.write(devices.delete, SYSTEM, made.device.id)
    client = await site.client()
    for address in hidden:
        assert isinstance(address, IPv4Address)
        granted = await site.ask(client, RequestIp(ipv4=address, ipv6=Wish.NONE))
        assert granted["errno"] == "0"
        assert granted["ipv4"] != f"{address}/32"
        with pytest.raises(AddressTakenError) as error:
            await commit(site, Change((lease_of(client, str(address), start=site.wall.wall()),)))
        assert error.value.addresses[0] == address
        # So that what comes next is not tried one by one.
        assert set(hidden) - {ip_address("10.88.0.50")} <= set(error.value.addresses) or address != hidden[0]


async def commit(site: Site, change: Change, *, name: str = "", version: int | None = None) -> int:
    """Commit a change of one's own, on the newest version unless another is named."""
    newest, _ = await site.ledger.load()
    named = name or "01234567-89ab-7def-8123-456789abcdef"
    return await site.ledger.commit(change, newest if version is None else version, named)


async def test_the_same_change_again_is_the_same_and_an_older_one_is_refused(site: Site) -> None:
    client, now = await site.client(), site.wall.wall()
    first, second = (f"01234567-89ab-7def-8123-45678900000{number}" for number in (1, 2))
    leased = Change((lease_of(client, "10.88.0.9", start=now),))
    released = Change(ended=(client,))
    assert await commit(site, leased, name=first) == 1
    # The answer was lost.
    assert await commit(site, leased, name=first, version=0) == 1
    assert await commit(site, released, name=second) == 2
    # Now the first one comes once more, late.
    with pytest.raises(UnsureError):
        await commit(site, leased, name=first, version=0)
    assert (await site.told())[client].leased == ()


async def test_a_server_that_was_overtaken_reads_anew_before_it_decides(site: Site) -> None:
    client, other = await site.client(), await site.client()
    await site.ask(client)
    second = site.another()
    await second.start()
    held = await site.ask(other, service=second)
    answer = await site.ask(client, RequestIp(ipv4=ip_address("10.88.0.77"), ipv6=Wish.NONE))
    assert answer["errno"] == "1"
    again = await site.ask(other)
    assert site.service.counters["read_again"] == 1
    assert (again["ipv4"], again["ipv6"]) == (held["ipv4"], held["ipv6"])


async def test_a_restart_restores_leases_quarantines_and_their_times(site: Site, clock: Clock) -> None:
    client, other = await site.client(), await site.client()
    granted = await site.ask(client)
    await site.ask(other)
    await site.ask(other, RequestIp(ipv4=Wish.NONE, ipv6=Wish.NONE))
    before = site.service.table.records
    clock.now += HOUR // 4
    site.know(client)
    second = site.another()
    await second.start()
    after = second.table.records
    assert after.leases == before.leases
    assert after.quarantined == before.quarantined
    assert {str(each) for each in site.peers.peers[client]} >= {granted["ipv4"], granted["ipv6"]}


async def test_a_key_that_no_active_device_of_the_gateway_has_gets_nothing(site: Site) -> None:
    stranger, disabled = SecretKey.generate().public_key, await site.client()
    device = (await device_of(site, disabled)).device
    await site.storage.write(devices.update, SYSTEM, device.id, DeviceChange(enabled=False))
    new = gateways.NewGateway("elsewhere", "vpn.example:51820", key())
    other_gateway, _ = await site.storage.write(gateways.create, SYSTEM, new)
    await site.storage.write(pools.create, SYSTEM, pools.NewPool(other_gateway.id, "10.77.0.0/16"))
    foreign = SecretKey.generate().public_key
    made = NewDevice("x", str(foreign), other_gateway.id, on_lease=True)
    await site.storage.write(devices.create, SYSTEM, made)
    for each in (stranger, disabled, foreign):
        site.know(each)
        assert (await site.ask(each))["errno"] == "1"
        assert await usage(site) == (0, 0)
    # Nor is anything taken from the others' devices.
    await commit(site, Change(ended=(foreign,), freed=(ip_address("10.88.0.1"),)))
    with pytest.raises(AddressTakenError):
        await commit(site, Change((lease_of(await site.client(), "10.77.0.9", start=site.wall.wall()),)))


async def test_a_removed_device_leaves_its_leases_in_quarantine(site: Site) -> None:
    client = await site.client()
    granted = await site.ask(client)
    await site.storage.write(devices.delete, SYSTEM, (await device_of(site, client)).device.id)
    assert await usage(site) == (0, 2)
    # It is back, with the key that the server remembers: the old addresses are held back from it, too.
    site.know(client)
    new = NewDevice("again", str(client), site.actors.gateway, on_lease=True)
    await site.storage.write(devices.create, SYSTEM, new)
    again = await site.ask(client)
    assert again["errno"] == "0"
    assert again["ipv4"] != granted["ipv4"]


async def test_no_address_is_given_twice_however_many_ask_and_whoever_else_takes_some(
    site: Site,
) -> None:
    await site.storage.write(pools.create, SYSTEM, pools.NewPool(site.actors.gateway, "10.66.0.0/27"))
    site.peers.pools = (ip_network("10.66.0.0/27"),)
    # 29 addresses but the gateway's: of two servers and an administrator, who know nothing of each other.
    clients = [await site.client() for _ in range(16)]
    second = site.another()
    await second.start()

    async def obtain(client: PublicKey, number: int) -> str:
        service = second if number % 2 else site.service
        while True:
            granted = await site.ask(client, RequestIp(ipv6=Wish.NONE), service)
            if granted["errno"] == "0":
                return granted["ipv4"]
            await asyncio.sleep(0)

    async def administer(number: int) -> str:
        # From the other end, and across what the servers choose at random.
        for last in range(30 - number, 1, -1):
            wanted = (ip_address(f"10.66.0.{last}"),)
            try:
                new = NewDevice("x", key(), site.actors.gateway, addresses=wanted)
                made = await site.storage.write(devices.create, SYSTEM, new)
            except ConflictError:
                continue
            return f"{made.addresses[0]}/32"
        raise AssertionError("no address is free")

    given = await asyncio.gather(
        *(obtain(client, number) for number, client in enumerate(clients)),
        *(administer(number) for number in range(10)),
    )
    assert Counter(given).most_common(1)[0][1] == 1
    told = [each for device in (await site.told()).values() for each in device.addresses]
    assert sorted(map(str, told)) == sorted(given)


async def test_what_many_lose_at_once_is_committed_in_pieces(
    site: Site, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wirewright.gateway.lease_store.PIECE", 4)
    clients = [await site.client() for _ in range(7)]
    for client in clients:
        await site.ask(client)
    clock.now += HOUR
    await site.service.expire()
    assert site.service.counters["expired"] == 7
    assert await usage(site) == (0, 14)
    version, records = await site.ledger.load()
    assert (version, records.leases) == (7 + 4, {})
    assert len(records.quarantined) == 14


@pytest.mark.parametrize(
    "change",
    [
        Change((Lease(PublicKey.from_hex("09" + "00" * 31), ip_address("10.88.0.9"), None, 0, 1),)),  # type: ignore[arg-type]
        Change((lease_of(PublicKey.from_hex("09" + "00" * 31), start=0),)),
    ],
)
async def test_what_cannot_be_is_refused_and_nothing_of_it_is_kept(site: Site, change: Change) -> None:
    with pytest.raises(StoreError):
        await commit(site, change)
    assert (await site.ledger.load())[0] == 0


async def test_a_gateway_holds_back_a_few_addresses_for_a_device_and_not_a_whole_pool(site: Site) -> None:
    client, now = await site.client(), site.wall.wall()

    async def exchange(number: int) -> None:
        address = ip_address(f"10.88.1.{number}")
        await commit(site, Change((lease_of(client, str(address), start=now),)))
        await commit(site, Change(ended=(client,), quarantined=(Quarantine(address, client, now + 9),)))

    for number in range(leases.LEFT):
        await exchange(number)
    with pytest.raises(StoreError, match="held back"):
        await exchange(leases.LEFT)
