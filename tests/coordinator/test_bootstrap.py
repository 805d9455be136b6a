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
    first = await storage.write(bootstrap.first_start, own, "vpn.example:1", networks=("10.98.0.0/24",))
    # A replica without the gateway has nothing to do with that one's first start, but with the admin's.
    await storage.write(bootstrap.serves, gateway=False)
    assert not await storage.read(bootstrap.is_admin_new)
    wanted = ("10.98.0.0/16", "10.99.0.0/24")
    again = await storage.write(
        bootstrap.first_start, own, "vpn.example:2", networks=wanted, keep_endpoint=True
    )
    assert again == bootstrap.FirstStart(first.gateway_id, None)
    state = await storage.read(changes.state, first.gateway_id)
    assert tuple(map(str, state.settings.pools)) == wanted
    assert (await storage.read(bootstrap.embedded)).endpoint == "vpn.example:2"
