"""Leases: addresses that a device asked for itself and holds for a time, in the table of all addresses.

A gateway's server of wg-dynamic decides who gets what; a `Change` that it decided becomes true here, in one
transaction or not at all. What the server cannot see, it does not decide: an address that is administered,
reserved, in quarantine or another gateway's is refused by the index over all of them, and the server
chooses another. A device holds at most one leased address of each family, besides what was administered to
it, which a lease never touches. A lease that ends leaves its address in quarantine for as long as the lease
was, at least; until then only that device gets it again.

::

    version n ──a change decided on n──▶ n + 1 ──the same change again──▶ n + 1
        │                                  │
        └──a change decided on less than n: refused, and the server reads all of it anew

The version is the gateway's own: with it, an answer that was lost is cured by asking again, and a request
that comes late, or from a second server, changes nothing. What ends here by itself, with time or with a
device, makes no version: the server sees the former too, and is refused where the latter matters.

What a change says of keys is in `wirewright.coordinator.services.successions`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select, update

from wirewright.coordinator.clock import DAY, SECOND
from wirewright.coordinator.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    NotFreeError,
    StaleError,
)
from wirewright.coordinator.services import addresses, audit, changes, configurations, networks, successions
from wirewright.coordinator.services.access import Caller, Role
from wirewright.coordinator.storage.bulletin import DEADLINES
from wirewright.coordinator.storage.tables import Address, Device, Gateway, LeaseLog, Pool
from wirewright.dynamic import Lease, Quarantine, Records
from wirewright.keys import PublicKey

if TYPE_CHECKING:
    from wirewright.config.values import IPAddress
    from wirewright.coordinator.storage import Transaction
    from wirewright.dynamic import Change

LONGEST: Final = 30 * DAY
"""Of a lease."""
LONGEST_QUARANTINE: Final = 366 * DAY
AT_ONCE: Final = 1000
"""Clients, addresses and keys that one change is about, each."""
MOST: Final = 65_536
"""Leases, quarantines and successions of a gateway that its server is given, each."""
LEFT: Final = 8
"""Addresses of a family that are held back for one device, at most; a server of ours holds back fewer."""
_HINTS: Final = 256
"""Further addresses in use that a refusal names, so that the server does not try them one by one."""


async def load(tx: Transaction, gateway_id: str) -> tuple[int, Records]:
    """Return a gateway's version, and all that its server is to remember, by this clock in seconds."""
    await changes.found(tx, gateway_id)
    log = await tx.session.get(LeaseLog, gateway_id)
    records = Records()
    mine = (Device.gateway_id == gateway_id, Address.kind == "leased")
    rows = await tx.session.execute(
        select(Address, Device.public_key)
        .join(Device, Device.id == Address.device_id)
        .where(*mine, Address.state != "released", Address.until > tx.now)
        .order_by(Address.value)
        .limit(2 * MOST)
    )
    for row, raw in rows:
        _remember(records, row, _key(raw))
    for each in await successions.of_gateway(tx, gateway_id, MOST):
        records.successions[each.old] = each
    return log.version if log else 0, records


async def commit(tx: Transaction, gateway_id: str, change: Change, *, version: int, change_id: str) -> int:
    """Make a change true that was decided on ``version``, and return the next one.

    Times in it are seconds since 1970 by this clock. The same change again is the same answer. Raises
    `StaleError` if others were committed since, `NotFreeError` for addresses that cannot be had,
    `NotFoundError` for a key that no active device of the gateway has, and `ConflictError` or `InvalidError`
    for what else cannot be.
    """
    gateway = await changes.lock(tx, gateway_id)
    log = await tx.session.get(LeaseLog, gateway_id, populate_existing=True)
    if log is None:
        log = LeaseLog(gateway_id=gateway_id, version=0, change_id="")
        tx.session.add(log)
    if (log.version, log.change_id) == (version + 1, change_id):
        return log.version
    if log.version != version:
        raise StaleError("Others have changed the leases of this gateway since: read them again.")
    log.version, log.change_id = version + 1, change_id
    caller = Caller(f"gateway {gateway.name}", "", Role.MEMBER, frozenset())
    await _Committing(tx, gateway, caller).take(change)
    tx.touch(DEADLINES)
    return log.version


@dataclass(slots=True)
class _Committing:
    """One change on its way, under the gateway's lock."""

    tx: Transaction
    gateway: Gateway
    caller: Caller
    changed: dict[str, Device] = field(default_factory=dict)
    """Devices of which the gateway is to be told."""
    left: dict[str, list[str]] = field(default_factory=dict)
    """Addresses that devices leave."""
    got: set[str] = field(default_factory=set)
    """Devices that have addresses that they had not."""
    taken: list[IPAddress] = field(default_factory=list)

    async def take(self, change: Change) -> None:
        """Make all of it true."""
        # First of all who is who: what follows names clients by their new keys.
        for device in await successions.change(
            self.tx, self.gateway, self.caller, change.successions, change.forgotten
        ):
            self.changed[device.id] = device
        await self.tx.session.flush()
        for lease in change.leases:
            await self._lease(lease)
        if self.taken:
            raise await self._refusal()
        for key in change.ended:
            await self._end(key)
        for each in change.quarantined:
            await self._quarantine(each)
        await self._free(change.freed)
        for device in self.changed.values():
            if device.id in self.got or device.id in self.left:
                configurations.leased(self.tx, device, self.gateway)
            if device.id in self.left:
                self._audit("lease.end", device, addresses=self.left[device.id])
            await changes.put_device(self.tx, self.gateway, device)

    # Leases.

    async def _lease(self, lease: Lease) -> None:
        if not 1 <= lease.duration <= LONGEST // SECOND or not lease.addresses:
            raise InvalidError("A lease lasts from a second to 30 days, and has an address.")
        device = await self._device(lease.key, active=True)
        if device is None:
            raise NotFoundError(f"The gateway {self.gateway.name} has no device with the key {lease.key}.")
        until = self._instant(lease.expires)
        held = {row.value: (row, pool) for row, pool in await self._held(device)}
        added = []
        for address in lease.addresses:
            if address.packed in held:
                row, _ = held.pop(address.packed)
                row.since, row.until = self._instant(lease.start), until
            elif await self._take(device, address, until):
                added.append(address)
        for row, pool in held.values():
            self._leave(device, row, pool)
        if added:
            self.changed[device.id] = device
            self.got.add(device.id)
            self._audit("lease.grant", device, addresses=[str(each) for each in added])

    async def _take(self, device: Device, address: IPAddress, until: int) -> bool:
        """Hold an address for a device; one that it left itself is not held back from it."""
        tx = self.tx
        await tx.session.flush()
        left = update(Address).where(
            Address.value == address.packed,
            Address.state == "quarantined",
            Address.kind == "leased",
            Address.device_id == device.id,
        )
        over = left.values(state="released", until=tx.now)
        await tx.session.execute(over, execution_options={"synchronize_session": "fetch"})
        behind = select(func.count()).where(
            Address.device_id == device.id,
            Address.kind == "leased",
            Address.state == "quarantined",
            Address.until > tx.now,
            func.length(Address.value) == len(address.packed),
        )
        if (await tx.session.scalar(behind) or 0) >= LEFT:
            raise ConflictError(f"{device.name} has left {LEFT} addresses that are held back for it.")
        pools = await addresses.pools_of(tx, self.gateway.id)
        try:
            await addresses.hold(tx, pools, address, "leased", device_id=device.id, until=until)
        except (ConflictError, InvalidError):
            self.taken.append(address)
            return False
        return True

    async def _end(self, key: PublicKey) -> None:
        device = await self._device(key)
        for row, pool in await self._held(device) if device else ():
            assert device is not None
            self._leave(device, row, pool)

    def _leave(self, device: Device, row: Address, pool: Pool) -> None:
        addresses.quarantine(self.tx, row, pool)
        self.changed[device.id] = device
        self.left.setdefault(device.id, []).append(str(networks.address(row.value)))

    async def _quarantine(self, each: Quarantine) -> None:
        """Hold back an address for its last holder; what somebody else has got since is not touched."""
        device = await self._device(each.key)
        query = select(Address, Pool).join(Pool, Pool.id == Address.pool_id)
        query = query.where(Address.value == each.address.packed, Address.state != "released")
        found = (await self.tx.session.execute(query)).one_or_none()
        if device is None or found is None:
            return
        row, pool = found
        if row.kind != "leased" or row.device_id != device.id:
            return
        if row.state == "held":
            self._leave(device, row, pool)
        assert row.until is not None
        row.until = max(row.until, min(self._instant(each.until), self.tx.now + LONGEST_QUARANTINE))

    async def _free(self, freed: tuple[IPAddress, ...]) -> None:
        """Let addresses go whose quarantine is over; ours may be longer than the server's."""
        over = update(Address).where(
            Address.value.in_([each.packed for each in freed]),
            Address.state == "quarantined",
            Address.kind == "leased",
            Address.until <= self.tx.now,
            Address.pool_id.in_(select(Pool.id).where(Pool.gateway_id == self.gateway.id)),
        )
        await self.tx.session.flush()
        released = over.values(state="released")
        await self.tx.session.execute(released, execution_options={"synchronize_session": False})

    async def _refusal(self) -> NotFreeError:
        pools = await addresses.pools_of(self.tx, self.gateway.id)
        others = [await addresses.in_use_after(self.tx, pools, each, _HINTS) for each in self.taken]
        words = ", ".join(str(each) for each in self.taken)
        return NotFreeError(
            f"{words}: in use, reserved, held back, or of no pool of the gateway.",
            (*self.taken, *(each for found in others for each in found)),
        )

    # What all of it needs.

    async def _device(self, key: PublicKey, *, active: bool = False) -> Device | None:
        mine = [Device.public_key == bytes(key), Device.gateway_id == self.gateway.id]
        query = select(Device).where(*mine, *([Device.active] if active else [])).with_for_update()
        found: Device | None = await self.tx.session.scalar(query)
        return found

    async def _held(self, device: Device) -> list[tuple[Address, Pool]]:
        query = select(Address, Pool).join(Pool, Pool.id == Address.pool_id)
        mine = (Address.device_id == device.id, Address.kind == "leased", Address.state == "held")
        return [(row, pool) for row, pool in await self.tx.session.execute(query.where(*mine))]

    def _instant(self, seconds: int) -> int:
        """Return whole seconds as an instant: never before the server's, which knows no fractions."""
        return seconds * SECOND + self.tx.now % SECOND

    def _audit(self, action: str, device: Device, **detail: object) -> None:
        audit.record(self.tx, self.caller, action, device.id, **detail)


def _remember(records: Records, row: Address, key: PublicKey) -> None:
    assert row.until is not None
    address, start, until = networks.address(row.value), row.since // SECOND, row.until // SECOND
    if row.state == "quarantined":
        records.quarantined[address] = Quarantine(address, key, until)
        return
    other = records.leases.get(key)
    ipv4, ipv6 = (other.ipv4, other.ipv6) if other else (None, None)
    if address.version == 4:
        ipv4 = address
    else:
        ipv6 = address
    if other is not None:
        # Both were granted at once; should one end sooner, so does the lease.
        start, until = max(start, other.start), min(until, other.expires)
    records.leases[key] = Lease(key, ipv4, ipv6, start, max(1, until - start))


def _key(raw: bytes) -> PublicKey:
    return PublicKey.from_hex(raw.hex())
