"""The tables, from one revision to the next and back, with what is in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from ipaddress import IPv4Address
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from wirewright.coordinator.clock import SECOND
from wirewright.coordinator.services import devices, invitations, leases
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.services.devices import NewDevice
from wirewright.coordinator.storage import Storage, Transaction, schema
from wirewright.coordinator.storage.tables import Base
from wirewright.dynamic import Change, Lease, Succession
from wirewright.keys import SecretKey

from .actors import Actors, Clock, key

pytestmark = pytest.mark.anyio


@pytest.fixture
async def storage(address: str, clock: Clock) -> AsyncIterator[Storage]:
    """A storage without what runs beside the requests, which reads tables that are on their way."""
    opened = Storage.open(address, clock=clock)
    yield opened
    await opened.close()


async def counts(tx: Transaction) -> dict[str, Any]:
    names = ("user", "token", "gateway", "pool", "address", "device", "change", "audit", "setting")
    return {name: await tx.session.scalar(text(f'SELECT count(*) FROM "{name}"')) for name in names}


async def test_the_migrations_make_the_tables_that_the_program_is_written_for(database: str) -> None:
    storage = Storage.open(database)
    await storage.migrate()

    def differences(connection: Connection) -> list[Any]:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        found: list[Any] = compare_metadata(context, Base.metadata)
        return found

    async with storage.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    assert await schema.current_revision(storage.engine) == schema.revisions()[-1]
    await storage.close()


async def test_every_migration_can_be_undone_and_done_again_with_data(storage: Storage) -> None:
    await Actors.settle(storage)
    for number in range(3):
        await storage.write(devices.create, SYSTEM, NewDevice(f"device {number}", key()))
    before = await storage.read(counts)
    listed = await storage.read(devices.listed, SYSTEM, None, 200)
    for revision in schema.revisions()[-2::-1]:
        await storage.migrate(revision)
        assert await schema.current_revision(storage.engine) == revision
        # What the oldest tables have stays through all of it.
        assert await storage.read(counts) == before
    await storage.migrate()
    assert await storage.read(counts) == before
    again = await storage.read(devices.listed, SYSTEM, None, 200)
    assert [item.addresses for item in again.items] == [item.addresses for item in listed.items]
    # And it works: what is made now gets the next address.
    made = await storage.write(devices.create, SYSTEM, NewDevice("another", key()))
    assert str(made.addresses[0]) == "10.88.0.5"


async def test_all_of_it_can_be_undone(database: str) -> None:
    storage = Storage.open(database)
    await storage.migrate()
    await storage.migrate("base")
    assert await schema.current_revision(storage.engine) is None
    await storage.migrate()
    await storage.close()


async def test_replicas_that_start_together_migrate_once(database: str) -> None:
    replicas = [Storage.open(database) for _ in range(3)]
    await asyncio.gather(*(replica.migrate() for replica in replicas))
    for replica in replicas:
        await replica.close()


async def test_a_database_that_is_newer_than_the_program_is_left_alone(
    storage: Storage, clock: Clock
) -> None:
    async def become_newer(tx: Transaction) -> None:
        await tx.session.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    await storage.write(become_newer)
    with pytest.raises(schema.NewerDatabaseError, match="9999"):
        await storage.migrate()


async def test_leases_and_keys_go_back_and_forth_without_a_device_or_an_address_lost(
    storage: Storage, clock: Clock
) -> None:
    actors = await Actors.settle(storage)
    old, new = (SecretKey.generate().public_key for _ in range(2))
    made = NewDevice("a device", str(old), actors.gateway, on_lease=True)
    await storage.write(devices.create, SYSTEM, made)
    await storage.write(devices.create, SYSTEM, NewDevice("another", key(), actors.gateway))
    now = clock.now // SECOND
    for version, change in enumerate(
        (
            Change((Lease(old, IPv4Address("10.88.0.9"), None, now, 3600),)),
            Change(successions=(Succession(old, new, now + 60),)),
            Change(successions=(Succession(old, new),)),
        )
    ):
        await storage.write(
            leases.commit, actors.gateway, change, version=version, change_id=f"change {version}"
        )
    await storage.migrate("0004")
    assert (await storage.read(counts))["device"] == 2
    await storage.migrate()
    version, records = await storage.read(leases.load, actors.gateway)
    # What was in tables that were not there is forgotten; the device keeps its newest key and its lease.
    assert (version, records.successions) == (0, {})
    assert records.leases == {new: Lease(new, IPv4Address("10.88.0.9"), None, now, 3600)}
    ended = Change(ended=(new,))
    assert await storage.write(leases.commit, actors.gateway, ended, version=0, change_id="x") == 1


async def test_an_invitation_stays_through_a_revision_that_knows_none_on_lease(
    storage: Storage, clock: Clock
) -> None:
    actors = await Actors.settle(storage)
    for on_lease in (True, False):
        new = invitations.NewInvitation(f"{on_lease}", actors.gateway, uses=3, on_lease=on_lease)
        await storage.write(invitations.create, SYSTEM, new)
    await storage.migrate("0007")
    await storage.migrate()
    found = (await storage.read(invitations.listed, None, 9)).items
    # What was in a column that was not there is forgotten.
    stayed = {each.name: (each.uses_left, each.on_lease) for each in found}
    assert stayed == {"True": (3, False), "False": (3, False)}


async def test_who_came_by_an_invitation_has_proved_its_key(storage: Storage, clock: Clock) -> None:
    actors = await Actors.settle(storage)
    invited = await storage.write(devices.create, SYSTEM, NewDevice("invited", key(), actors.gateway))
    await storage.write(devices.create, SYSTEM, NewDevice("made", key(), actors.gateway))
    new = invitations.NewInvitation("for one", actors.gateway)
    invitation, _ = await storage.write(invitations.create, SYSTEM, new)
    await storage.migrate("0004")

    async def link(tx: Transaction) -> None:
        values = {"invitation": invitation.id, "device": invited.device.id}
        update = text("UPDATE device SET invitation_id = :invitation WHERE id = :device")
        await tx.session.execute(update, values)

    await storage.write(link)
    await storage.migrate()
    listed = (await storage.read(devices.listed, SYSTEM, None, 9)).items
    proved = {item.device.name: item.device.proved_at for item in listed}
    assert proved == {"invited": clock.now, "made": None}
