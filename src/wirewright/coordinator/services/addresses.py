"""Addresses are given out, held, kept in quarantine, released.

::

    (free) ──hold──▶ held ──release──▶ quarantined ──the time is over, and somebody takes it──▶ released
                       ▲                                                                           (history)
                       └── a new row, once the old one is released

The search for a free one runs under the gateway's lock, so that two never find the same. Should that ever
be wrong, the unique index over all rows that are not released refuses the second one; then the next free
one is tried. A pool's cursor moves on with each, so that a released address comes back as late as it can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from wirewright.coordinator.errors import ConflictError, InvalidError, NotFoundError, PoolFullError
from wirewright.coordinator.identity import new_id
from wirewright.coordinator.services import audit, networks
from wirewright.coordinator.services.paging import Page, page
from wirewright.coordinator.storage.tables import Address, Pool

if TYPE_CHECKING:
    from wirewright.config.values import IPAddress
    from wirewright.coordinator.services.access import Caller
    from wirewright.coordinator.storage import Transaction

_CONFLICTS: Final = 16
"""How many addresses that somebody else took meanwhile are passed over."""
_AT_ONCE: Final = 512
"""Rows that the search for a gap reads at once."""
_IN_USE: Final = text("address.state <> 'released'")


async def hold_any(
    tx: Transaction,
    pool: Pool,
    kind: str,
    *,
    device_id: str | None = None,
    until: int | None = None,
    note: str = "",
) -> Address:
    """Hold a free address of a pool; raise `PoolFullError` if there is none."""
    for _ in range(_CONFLICTS):
        value = await _free(tx, pool)
        if value is None:
            break
        pool.cursor = networks.following(value)
        if not _inside(pool, pool.cursor):
            pool.cursor = pool.first
        held = await _hold(tx, pool, value, kind, device_id=device_id, until=until, note=note)
        if held is not None:
            return held
    network = networks.network(pool.first, pool.prefix_length)
    raise PoolFullError(f"No address of {network} is free. Remove devices, or add a pool to the gateway.")


async def hold(
    tx: Transaction,
    pools: list[Pool],
    wanted: IPAddress,
    kind: str,
    *,
    device_id: str | None = None,
    until: int | None = None,
    note: str = "",
) -> Address:
    """Hold one address; raise `ConflictError` if it is not free, `InvalidError` outside the pools."""
    value = wanted.packed
    pool = next((pool for pool in pools if _inside(pool, value)), None)
    if pool is None:
        raise InvalidError(f"{wanted} lies in no pool of the gateway.")
    if not _assignable(pool, value):
        raise InvalidError(
            f"{wanted} is the first or the last address of its pool, which no device can have."
        )
    held = await _hold(tx, pool, value, kind, device_id=device_id, until=until, note=note)
    if held is None:
        raise ConflictError(f"{wanted} is in use, reserved, or was released too short a time ago.")
    return held


async def pools_of(tx: Transaction, gateway_id: str) -> list[Pool]:
    """Return a gateway's pools, IPv4 first."""
    query = select(Pool).where(Pool.gateway_id == gateway_id).order_by(Pool.family, Pool.first)
    return list(await tx.session.scalars(query.execution_options(populate_existing=True)))


async def hold_one_of_each_family(tx: Transaction, gateway_id: str, kind: str, device_id: str | None) -> None:
    """Hold an address of each family that the gateway has pools of: from the first that is not full."""
    pools = await pools_of(tx, gateway_id)
    for family in (4, 6):
        candidates = [pool for pool in pools if pool.family == family]
        for number, pool in enumerate(candidates, 1):
            try:
                await hold_any(tx, pool, kind, device_id=device_id)
                break
            except PoolFullError:
                if number == len(candidates):
                    raise


async def release_all(tx: Transaction, device_id: str, user_id: str | None, *, unused: bool = False) -> None:
    """Put what a user's device holds into quarantine; let it go at once, if it cannot have been used."""
    query = select(Address, Pool).join(Pool, Pool.id == Address.pool_id)
    mine = query.where(Address.device_id == device_id, Address.state == "held")
    for row, pool in await tx.session.execute(mine):
        if unused:
            row.state, row.until = "released", tx.now
            continue
        quarantine(tx, row, pool)
        row.left_by = user_id


async def left_by(tx: Transaction, user_id: str) -> int:
    """Return how many devices' addresses are in quarantine that a user removed: of one family, the most."""
    counts = await tx.session.scalars(
        select(func.count())
        .where(
            Address.left_by == user_id,
            Address.kind == "administered",
            Address.state == "quarantined",
            Address.until > tx.now,
        )
        .group_by(func.length(Address.value))
    )
    return max(counts, default=0)


def quarantine(tx: Transaction, row: Address, pool: Pool) -> None:
    """Put one address into quarantine, for the pool's time; a leased one for its lease's, at least."""
    lease = row.until - row.since if row.kind == "leased" and row.until is not None else 0
    row.state = "quarantined"
    row.until = tx.now + max(pool.quarantine, lease)


async def reserve(
    tx: Transaction, caller: Caller, pools: list[Pool], wanted: IPAddress, note: str
) -> Address:
    """Keep an address from being given out. The gateway's lock is held."""
    row = await hold(tx, pools, wanted, "reserved", note=note)
    audit.record(tx, caller, "reservation.create", row.id, address=str(wanted), note=note)
    return row


async def cancel_reservation(tx: Transaction, caller: Caller, address_id: str) -> None:
    """Let an address be given out again, at once: nobody had it."""
    row = await tx.session.get(Address, address_id, with_for_update=True)
    if row is None or row.kind != "reserved" or row.state != "held":
        raise NotFoundError(f"There is no reservation {address_id}.")
    row.state, row.until = "released", tx.now
    audit.record(tx, caller, "reservation.delete", row.id, address=str(networks.address(row.value)))


async def held(tx: Transaction, kind: str, after: str | None, limit: int) -> Page[Address]:
    """Return the held addresses of a kind."""
    return await page(
        tx, select(Address).where(Address.kind == kind, Address.state == "held"), Address.id, after, limit
    )


async def in_use_after(tx: Transaction, pools: list[Pool], after: IPAddress, limit: int) -> list[IPAddress]:
    """Return the next addresses of the same pool that nobody can have, in their order."""
    pool = next((pool for pool in pools if _inside(pool, after.packed)), None)
    if pool is None:
        return []
    query = (
        select(Address.value)
        .where(
            _IN_USE,
            Address.value > after.packed,
            Address.value <= pool.last,
            func.length(Address.value) == len(pool.first),
            or_(Address.state == "held", Address.until > tx.now),
        )
        .order_by(Address.value)
        .limit(limit)
    )
    return [networks.address(value) for value in await tx.session.scalars(query)]


async def usage(tx: Transaction) -> dict[str, tuple[int, int]]:
    """Return, for each pool, how many addresses are held and how many are in quarantine."""
    counts: dict[str, list[int]] = {}
    rows = await tx.session.execute(
        select(Address.pool_id, Address.state, func.count())
        .where(_IN_USE, or_(Address.state == "held", Address.until > tx.now))
        .group_by(Address.pool_id, Address.state)
    )
    for pool_id, state, number in rows:
        counts.setdefault(pool_id, [0, 0])[state == "quarantined"] = number
    return {pool_id: (counted[0], counted[1]) for pool_id, counted in counts.items()}


def _inside(pool: Pool, value: bytes) -> bool:
    return len(value) == len(pool.first) and pool.first <= value <= pool.last


def _assignable(pool: Pool, value: bytes) -> bool:
    """Say whether a device can have it: not a network's first, nor the last one of IPv4 (RFC 3021)."""
    if pool.prefix_length >= len(value) * 8 - 1:
        return True
    return value != pool.first and (pool.family == 6 or value != pool.last)


async def _free(tx: Transaction, pool: Pool) -> bytes | None:
    """Find the next free address from the cursor on, and then from the beginning."""
    found = await _gap(tx, pool, pool.cursor, pool.last)
    if found is None and pool.cursor > pool.first:
        found = await _gap(tx, pool, pool.first, pool.cursor)
    return found


async def _gap(tx: Transaction, pool: Pool, start: bytes, end: bytes) -> bytes | None:
    candidate = start
    while candidate <= end:
        taken = list(
            await tx.session.scalars(
                select(Address.value)
                .where(
                    _IN_USE,
                    Address.value >= candidate,
                    Address.value <= end,
                    func.length(Address.value) == len(start),
                    or_(Address.state == "held", Address.until > tx.now),
                )
                .order_by(Address.value)
                .limit(_AT_ONCE)
            )
        )
        for value in taken:
            while candidate < value:
                if _assignable(pool, candidate):
                    return candidate
                candidate = networks.following(candidate)
            if value == end:
                return None
            candidate = networks.following(value)
        if len(taken) == _AT_ONCE:
            continue
        while candidate <= end:
            if _assignable(pool, candidate):
                return candidate
            if candidate == end:
                return None
            candidate = networks.following(candidate)
    return None


async def _hold(
    tx: Transaction,
    pool: Pool,
    value: bytes,
    kind: str,
    *,
    device_id: str | None,
    until: int | None,
    note: str,
) -> Address | None:
    """Insert the row that holds an address, unless the index says that another one does."""
    await tx.session.flush()
    over = update(Address).where(
        Address.value == value, Address.state == "quarantined", Address.until <= tx.now, _IN_USE
    )
    await tx.session.execute(over.values(state="released"), execution_options={"synchronize_session": False})
    insert = postgresql.insert if tx.dialect == "postgresql" else sqlite.insert
    row = {
        "id": new_id(tx.now),
        "pool_id": pool.id,
        "value": value,
        "kind": kind,
        "state": "held",
        "device_id": device_id,
        "since": tx.now,
        "until": until,
        "note": note,
    }
    statement = insert(Address).values(row).on_conflict_do_nothing().returning(Address.id)
    if await tx.session.scalar(statement) is None:
        return None
    return await tx.session.get_one(Address, row["id"])
