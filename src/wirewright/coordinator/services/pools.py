"""Pools: the networks that a gateway gives addresses from. No two overlap, whatever gateway they are of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from sqlalchemy import exists, select

from wirewright.coordinator.clock import HOUR
from wirewright.coordinator.errors import ConflictError, InvalidError, NotFoundError
from wirewright.coordinator.identity import new_id
from wirewright.coordinator.services import addresses, audit, changes, networks, texts
from wirewright.coordinator.services.paging import Page, page
from wirewright.coordinator.storage.tables import Address, Pool, Setting
from wirewright.gateway import bounds

if TYPE_CHECKING:
    from wirewright.config.values import IPAddress, IPNetwork
    from wirewright.coordinator.services.access import Caller
    from wirewright.coordinator.storage import Transaction

QUARANTINE: Final = HOUR
"""For which a released address is given to nobody else, unless a pool says otherwise."""
LONGEST_QUARANTINE: Final = 366 * 24 * HOUR
POOLS: Final = 16
"""Pools of a gateway, at most."""


@dataclass(frozen=True, slots=True)
class NewPool:
    """A pool to be; ``quarantine`` in microseconds."""

    gateway_id: str
    network: str
    quarantine: int = QUARANTINE


async def create(tx: Transaction, caller: Caller, new: NewPool) -> Pool:
    """Make a pool, and give the gateway its first address."""
    network = read(new.network)
    if not 0 <= new.quarantine <= LONGEST_QUARANTINE:
        raise InvalidError("A quarantine lasts from nothing to a year.")
    # Overlaps are looked for across gateways, so that one pool is made at a time: this row's lock sees to it.
    await _lock_all_pools(tx)
    gateway = await changes.lock(tx, new.gateway_id)
    if len(await addresses.pools_of(tx, gateway.id)) >= POOLS:
        raise ConflictError(f"A gateway has at most {POOLS} pools.")
    first, last = network.network_address.packed, network[-1].packed
    overlapping = await tx.session.scalar(
        select(Pool).where(Pool.family == network.version, Pool.first <= last, Pool.last >= first).limit(1)
    )
    if overlapping is not None:
        other = networks.network(overlapping.first, overlapping.prefix_length)
        raise ConflictError(f"{network} overlaps with the pool {other}.")
    pool = Pool(
        id=new_id(tx.now),
        gateway_id=gateway.id,
        family=network.version,
        first=first,
        last=last,
        prefix_length=network.prefixlen,
        cursor=first,
        quarantine=new.quarantine,
        created_at=tx.now,
    )
    tx.session.add(pool)
    await tx.session.flush()
    own = await addresses.hold_any(tx, pool, "gateway", note=gateway.name)
    with _as_gateways_take_it():
        bounds.check_settings([networks.interface(own.value, network.prefixlen)], [network])
    gateway.configuration += 1
    await changes.put_settings(tx, gateway)
    audit.record(tx, caller, "pool.create", pool.id, network=str(network), gateway=gateway.id)
    return pool


async def listed(tx: Transaction, after: str | None, limit: int) -> Page[Pool]:
    """Return pools."""
    return await page(tx, select(Pool), Pool.id, after, limit)


async def reserve(tx: Transaction, caller: Caller, gateway_id: str, wanted: IPAddress, note: str) -> Address:
    """Keep an address of a gateway's pools from being given out."""
    gateway = await changes.lock(tx, gateway_id)
    found = await addresses.pools_of(tx, gateway.id)
    return await addresses.reserve(tx, caller, found, wanted, texts.label(note, "A note"))


async def get(tx: Transaction, pool_id: str) -> Pool:
    """Return a pool, or raise `NotFoundError`."""
    pool = await tx.session.get(Pool, pool_id)
    if pool is None:
        raise NotFoundError(f"There is no pool {pool_id}.")
    return pool


async def delete(tx: Transaction, caller: Caller, pool_id: str) -> None:
    """Remove a pool of which no device holds an address; its history goes with it."""
    pool = await get(tx, pool_id)
    gateway = await changes.lock(tx, pool.gateway_id)
    in_use = exists().where(Address.pool_id == pool.id, Address.state == "held", Address.kind != "gateway")
    if await tx.session.scalar(select(in_use)):
        raise ConflictError("Addresses of this pool are in use or reserved; remove those first.")
    for row in await tx.session.scalars(select(Address).where(Address.pool_id == pool.id)):
        await tx.session.delete(row)
    await tx.session.flush()
    await tx.session.delete(pool)
    gateway.configuration += 1
    await changes.put_settings(tx, gateway)
    audit.record(tx, caller, "pool.delete", pool.id)


def read(text: str) -> IPNetwork:
    """Read what may be a pool, or raise `InvalidError`."""
    try:
        network = ip_network(text)
    except ValueError as error:
        raise InvalidError(f"A pool is a network as 10.88.0.0/16 or fd00::/64: {error}.") from None
    if getattr(network.network_address, "scope_id", None):
        raise InvalidError(f"{network} cannot be a pool: it is of one link only.")
    with _as_gateways_take_it():
        bounds.check_pool(network)
    if network.num_addresses < 4:
        raise InvalidError(f"{network} is too small for a gateway and a device.")
    return network


@contextmanager
def _as_gateways_take_it() -> Iterator[None]:
    """Raise `InvalidError` for what a gateway would refuse when it is told."""
    try:
        yield
    except ValueError as error:
        raise InvalidError(f"Gateways do not take this: {error}.") from None


async def _lock_all_pools(tx: Transaction) -> None:
    query = select(Setting).where(Setting.name == "pools").with_for_update()
    if await tx.session.scalar(query) is None:
        raise InvalidError("The database was not prepared: start the coordinator once.")
