"""The first start, and those after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wirewright.coordinator.services import audit, bootstrap, changes, users

from .actors import key

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Storage

pytestmark = pytest.mark.anyio


async def test_the_first_start_makes_a_gateway_and_an_admin_and_a_later_one_nothing(storage: Storage) -> None:
    own = key()
    first = await storage.write(bootstrap.first_start, own, "vpn.example:51820")
    assert first.token is not None
    caller = await storage.read(users.authenticate, first.token.expose(), "")
    assert caller.role == "admin"
    state = await storage.read(changes.state, first.gateway_id)
    assert str(state.settings.addresses[0]) == "10.88.0.1/16"
    assert state.settings.pools[1].prefixlen == 64
    assert state.settings.pools[1].is_private
    await storage.write(bootstrap.serves, gateway=True)
    lines = len((await storage.read(audit.entries, None, 200)).items)
    again = await storage.write(bootstrap.first_start, own, "vpn.example:51820")
    assert again == bootstrap.FirstStart(first.gateway_id, None)
    assert len((await storage.read(audit.entries, None, 200)).items) == lines


async def test_a_start_after_one_that_never_served_is_the_first(storage: Storage) -> None:
    own = key()
    first = await storage.write(bootstrap.first_start, own, "vpn.example:1", wanted=("10.98.0.0/24",))
    # A replica without the gateway has nothing to do with that one's first start, but with the admin's.
    await storage.write(bootstrap.serves, gateway=False)
    assert not await storage.read(bootstrap.is_admin_new)
    wanted = ("10.98.0.0/16", "10.99.0.0/24")
    again = await storage.write(bootstrap.first_start, own, "vpn.example:2", wanted=wanted, guessed=True)
    assert again == bootstrap.FirstStart(first.gateway_id, None)
    state = await storage.read(changes.state, first.gateway_id)
    assert tuple(map(str, state.settings.pools)) == wanted
    assert (await storage.read(bootstrap.embedded)).endpoint == "vpn.example:2"


OWN = "127.0.0.1:51820"


async def test_an_endpoint_that_only_its_own_machine_finds_is_guessed_anew(storage: Storage) -> None:
    own = key()

    async def started(endpoint: str, *, guessed: bool) -> str:
        done = await storage.write(bootstrap.first_start, own, endpoint, guessed=guessed)
        await storage.write(bootstrap.serves, gateway=True)
        is_told.append(done.is_lonely)
        return (await storage.read(bootstrap.embedded)).endpoint

    is_told: list[bool] = []

    assert await started(OWN, guessed=True) == OWN
    assert await started(OWN, guessed=True) == OWN
    assert await started("192.0.2.7:51820", guessed=True) == "192.0.2.7:51820"
    assert is_told == [True, True, False]
    # A guess that others find stays, for devices have it.
    assert await started("192.0.2.8:51820", guessed=True) == "192.0.2.7:51820"
    assert await started(OWN, guessed=True) == "192.0.2.7:51820"
    # And so does what somebody said.
    assert await started(OWN, guessed=False) == OWN
    assert await started("192.0.2.7:51820", guessed=True) == OWN
    assert await started("192.0.2.7:51820", guessed=True) == OWN


async def test_pools_that_come_too_late_are_named(storage: Storage) -> None:
    own, wanted = key(), ("10.98.0.0/24", "fd00:98::/64")
    first = await storage.write(bootstrap.first_start, own, OWN, wanted=wanted)
    assert first.unmade == ()
    await storage.write(bootstrap.serves, gateway=True)
    again = await storage.write(bootstrap.first_start, own, OWN, wanted=wanted[:1])
    assert again.unmade == ()
    again = await storage.write(bootstrap.first_start, own, OWN, wanted=(*wanted, "10.99.0.0/24"))
    assert again.unmade == ("10.99.0.0/24",)
