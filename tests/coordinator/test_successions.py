"""Keys that take others' places, as a gateway's server vouches for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wirewright.coordinator.clock import DAY
from wirewright.coordinator.errors import ConflictError
from wirewright.coordinator.services import audit, changes, devices, expiry
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.services.devices import DeviceChange, NewDevice
from wirewright.dynamic import Change, StoreError, Succession, link_local
from wirewright.dynamic.messages import RegisterKey
from wirewright.dynamic.registration import MAX_CHAIN
from wirewright.keys import SecretKey

from .test_leases import commit, device_of, site

if TYPE_CHECKING:
    from wirewright.keys import PublicKey

    from .actors import Clock
    from .leasing import Site

__all__ = ["site"]

pytestmark = pytest.mark.anyio


def new_key() -> PublicKey:
    return SecretKey.generate().public_key


async def register(site: Site, old: PublicKey, new: PublicKey) -> dict[str, str]:
    return dict(await site.service.answer(link_local(old), old, RegisterKey(new)))


async def device_id(site: Site, of: PublicKey) -> str:
    return (await device_of(site, of)).device.id


async def test_a_new_key_waits_as_a_second_peer_and_then_has_all_that_the_device_had(
    site: Site, clock: Clock
) -> None:
    old, new = await site.client(), new_key()
    granted, identity = await site.ask(old), await device_id(site, old)
    assert (await register(site, old, new))["lladdr"] == f"{link_local(new)}/128"
    told = (await site.told())[old]
    assert (told.next_key, len(told.addresses)) == (new, 2)
    # The first request from the new key's address proves that somebody has it.
    again = await site.ask(new)
    assert (again["ipv4"], again["ipv6"]) == (granted["ipv4"], granted["ipv6"])
    state = await site.told()
    assert set(state) == {new}
    assert (state[new].id, state[new].next_key) == (identity, None)
    assert [str(each) for each in state[new].addresses] == [granted["ipv4"], granted["ipv6"]]
    device = (await device_of(site, new)).device
    assert device.proved_at == clock.now
    lines = (await site.storage.read(audit.entries, None, 50, subject=identity)).items
    assert {"device.key.offer", "device.key.replace"} <= {line.action for line in lines}
    # And it stays so after a restart.
    second = site.another()
    await second.start()
    assert second.table.records.successions == {old: Succession(old, new)}


async def test_a_key_that_was_replaced_or_waits_is_nobody_elses(site: Site) -> None:
    old, new = await site.client(), new_key()
    await register(site, old, new)
    for taken in (old, new):
        with pytest.raises(ConflictError):
            await site.storage.write(devices.create, SYSTEM, NewDevice("x", str(taken), site.actors.gateway))
    await site.ask(new)
    with pytest.raises(ConflictError, match="replaced"):
        await site.storage.write(devices.create, SYSTEM, NewDevice("x", str(old), site.actors.gateway))


async def test_keys_follow_each_other_and_the_oldest_are_forgotten(site: Site, clock: Clock) -> None:
    keys = [await site.client()]
    for _ in range(MAX_CHAIN + 2):
        keys.append(new_key())
        clock.now += 3600_000_000
        assert (await register(site, keys[-2], keys[-1]))["errno"] == "0"
        assert (await site.ask(keys[-1]))["errno"] == "0"
    _, records = await site.ledger.load()
    assert records.successions == {old: Succession(old, keys[-1]) for old in keys[-MAX_CHAIN - 1 : -1]}
    assert list(records.successions) == keys[-MAX_CHAIN - 1 : -1]


async def test_a_key_that_does_not_come_in_time_has_no_place(site: Site, clock: Clock) -> None:
    old, new = await site.client(), new_key()
    await register(site, old, new)
    clock.now += DAY
    # Whoever is first.
    await site.storage.write(expiry.expire)
    assert (await site.told())[old].next_key is None
    await site.service.expire()
    assert (await site.ledger.load())[1].successions == {}
    assert new not in site.peers.peers
    assert (await site.storage.read(audit.entries, None, 9, action="device.key.expire")).items


async def test_another_offer_takes_the_place_of_the_first(site: Site) -> None:
    old, first, second = await site.client(), new_key(), new_key()
    await register(site, old, first)
    await register(site, old, second)
    assert (await site.told())[old].next_key == second
    with pytest.raises(StoreError):
        await commit(site, Change(successions=(Succession(old, first),)))


async def test_a_key_is_not_offered_that_others_have_or_by_one_who_is_no_device_here(site: Site) -> None:
    client, other, now = await site.client(), await site.client(), site.wall.wall()
    gateway = await site.storage.read(changes.found, site.actors.gateway)
    assert gateway.public_key is not None
    wrong = [
        Succession(client, other, now + 60),
        Succession(client, type(other).from_hex(gateway.public_key.hex()), now + 60),
        Succession(new_key(), new_key(), now + 60),
        Succession(client, type(other).from_hex("00" * 32), now + 60),
        # One that nobody offered.
        Succession(client, new_key()),
    ]
    for each in wrong:
        with pytest.raises(StoreError):
            await commit(site, Change(successions=(each,)))
    # One that waits for another's place already.
    await commit(site, Change(successions=(Succession(other, waiting := new_key(), now + 60),)))
    with pytest.raises(StoreError):
        await commit(site, Change(successions=(Succession(client, waiting, now + 60),)))
    await site.storage.write(
        devices.update, SYSTEM, await device_id(site, client), DeviceChange(enabled=False)
    )
    with pytest.raises(StoreError):
        await commit(site, Change(successions=(Succession(client, new_key(), now + 60),)))
    assert (await site.ledger.load())[0] == 1


async def test_what_is_remembered_of_keys_goes_with_the_device(site: Site) -> None:
    old, new = await site.client(), new_key()
    await register(site, old, new)
    await site.storage.write(devices.delete, SYSTEM, await device_id(site, old))
    assert (await site.ledger.load())[1].successions == {}
    # The server remembers it for a while, and nothing comes of it.
    assert (await site.ask(new))["errno"] == "1"
    assert await site.told() == {}
