"""What gateways are told: a log for each, numbered densely, in the order of the commits.

A change is written in the transaction of what it tells. The number comes from the gateway's row, under its
lock, so no number is missing and none is seen before a smaller one. The newest `KEPT` are kept; who is
further behind gets the whole state.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, select

from wirewright.coordinator.errors import NotFoundError, UnauthorizedError
from wirewright.coordinator.services import networks
from wirewright.coordinator.storage.bulletin import LIVE
from wirewright.coordinator.storage.tables import Address, Change, Device, Gateway, Pool, Succession
from wirewright.gateway import instructions as said
from wirewright.gateway.policy import Policy
from wirewright.keys import PublicKey

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from wirewright.coordinator.storage import Storage, Transaction

KEPT: Final = 10_000
"""Changes of a gateway that are kept."""
AT_ONCE: Final = 500
"""Changes that are read at once."""


def topic(gateway_id: str) -> str:
    """Return what those who follow a gateway wait for."""
    return f"gateway {gateway_id}"


async def lock(tx: Transaction, gateway_id: str) -> Gateway:
    """Take the lock of a gateway, which comes before all others; raise `NotFoundError` if there is none."""
    query = select(Gateway).where(Gateway.id == gateway_id).with_for_update()
    gateway = await tx.session.scalar(query.execution_options(populate_existing=True))
    if gateway is None:
        raise NotFoundError(f"There is no gateway {gateway_id}.")
    return gateway


async def found(tx: Transaction, gateway_id: str) -> Gateway:
    """Return a gateway without its lock; raise `NotFoundError` if there is none."""
    gateway = await tx.session.get(Gateway, gateway_id)
    if gateway is None:
        raise NotFoundError(f"There is no gateway {gateway_id}.")
    return gateway


async def put_device(tx: Transaction, gateway: Gateway, device: Device) -> None:
    """Tell a gateway, whose lock is held, how a device is to be."""
    await tx.session.flush()
    holdings = await _holdings(tx, Device.id == device.id)
    await _append(tx, gateway, "put", {"device": holdings.of(device).to_json()})


async def remove_device(tx: Transaction, gateway: Gateway, device: Device) -> None:
    """Tell a gateway, whose lock is held, that a device is no more."""
    key = str(_key(device.public_key))
    await _append(tx, gateway, "remove", {"id": device.id, "public_key": key})


async def put_settings(tx: Transaction, gateway: Gateway) -> None:
    """Tell a gateway, whose lock is held, what its interface is to have."""
    await tx.session.flush()
    await _append(tx, gateway, "settings", {"settings": (await _settings(tx, gateway.id)).to_json()})


async def all_held_addresses(tx: Transaction) -> dict[str, list[bytes]]:
    """Return the addresses that all devices hold."""
    query = select(Address.device_id, Address.value)
    query = query.where(Address.state == "held", Address.device_id.is_not(None))
    return _by_device((await tx.session.execute(query)).all())


async def _append(tx: Transaction, gateway: Gateway, name: str, value: dict[str, Any]) -> None:
    gateway.revision += 1
    tx.session.add(
        Change(gateway_id=gateway.id, revision=gateway.revision, name=name, value=value, at=tx.now)
    )
    oldest = gateway.revision - KEPT + 1
    if oldest > gateway.oldest_change:
        gateway.oldest_change = oldest
        gone = delete(Change).where(Change.gateway_id == gateway.id, Change.revision < oldest)
        await tx.session.execute(gone, execution_options={"synchronize_session": False})
    tx.touch(topic(gateway.id))
    tx.touch(LIVE)


async def state(tx: Transaction, gateway_id: str) -> said.GatewayState:
    """Return all that a gateway shall be."""
    revision = await tx.session.scalar(select(Gateway.revision).where(Gateway.id == gateway_id))
    if revision is None:
        raise NotFoundError(f"There is no gateway {gateway_id}.")
    holdings = await _holdings(tx, Device.gateway_id == gateway_id)
    devices = await tx.session.scalars(
        select(Device).where(Device.gateway_id == gateway_id, Device.active).order_by(Device.id)
    )
    return said.GatewayState(
        revision,
        await _settings(tx, gateway_id),
        tuple(holdings.of(device) for device in devices),
        gateway_id,
    )


async def changes_after(tx: Transaction, gateway: Gateway, revision: int) -> list[said.Change] | None:
    """Return the next changes after ``revision``, at most `AT_ONCE`; ``None`` if they are not kept."""
    # One that is ahead of us followed a database that was put back since.
    if revision + 1 < gateway.oldest_change or revision > gateway.revision:
        return None
    rows = await tx.session.scalars(
        select(Change)
        .where(Change.gateway_id == gateway.id, Change.revision > revision)
        .order_by(Change.revision)
        .limit(AT_ONCE)
    )
    found = []
    for change in rows:
        instruction = said.instruction_from_json(change.name, {"revision": change.revision, **change.value})
        assert not isinstance(instruction, said.GatewayState)
        found.append(instruction)
    return found


@dataclass(frozen=True, slots=True)
class StoredSource:
    """A gateway's instructions, straight from the storage: for an embedded gateway, and for streams."""

    storage: Storage
    gateway_id: str
    credential_hash: bytes | None = None
    """What the one who follows proved itself with; the stream ends once it is worth nothing."""

    async def follow(
        self, after: int | None = None, log: str | None = None
    ) -> AsyncGenerator[said.Instruction]:
        """Yield a state where one is needed, then the changes as they are committed."""
        with self.storage.bulletin.subscribe(topic(self.gateway_id)) as news:
            revision = after if log in {None, self.gateway_id} else None
            while True:
                news.clear()
                found = await self.storage.read(self._next, revision)
                for instruction in found:
                    revision = instruction.revision
                    yield instruction
                if not found:
                    await news.wait()

    async def _next(self, tx: Transaction, revision: int | None) -> Sequence[said.Instruction]:
        gateway = await found(tx, self.gateway_id)
        if self.credential_hash not in {None, gateway.credential_hash}:
            raise UnauthorizedError("This credential was replaced by a newer one.")
        known = None if revision is None else await changes_after(tx, gateway, revision)
        return [await state(tx, self.gateway_id)] if known is None else known


async def held_addresses(tx: Transaction, device_ids: list[str]) -> dict[str, list[bytes]]:
    """Return the addresses that devices hold, smallest first, IPv4 before IPv6."""
    query = select(Address.device_id, Address.value)
    query = query.where(Address.device_id.in_(device_ids), Address.state == "held")
    return _by_device((await tx.session.execute(query)).all())


def _by_device(rows: Sequence[tuple[str | None, bytes]]) -> dict[str, list[bytes]]:
    held: dict[str, list[bytes]] = {}
    for device_id, value in rows:
        held.setdefault(str(device_id), []).append(value)
    for values in held.values():
        values.sort(key=lambda value: (len(value), value))
    return held


@dataclass(frozen=True, slots=True)
class _Holdings:
    """What devices have besides what their own rows say."""

    held: dict[str, list[bytes]]
    leased: frozenset[bytes]
    next_keys: dict[str, bytes]

    def of(self, device: Device) -> said.Device:
        values = self.held.get(device.id, [])
        next_key = self.next_keys.get(device.id)
        return said.Device(
            device.id,
            _key(device.public_key),
            tuple(networks.single(value) for value in values),
            Policy.from_json(device.policy),
            enabled=device.active,
            expires=device.expires_at,
            leased=tuple(networks.single(value) for value in values if value in self.leased),
            next_key=None if next_key is None else _key(next_key),
        )


async def _holdings(tx: Transaction, which: ColumnElement[bool]) -> _Holdings:
    rows = await tx.session.execute(
        select(Address.device_id, Address.value, Address.kind)
        .join(Device, Device.id == Address.device_id)
        .where(which, Address.state == "held")
    )
    held = [(device_id, value, kind) for device_id, value, kind in rows]
    keys = await tx.session.execute(
        select(Succession.device_id, Succession.new_key)
        .join(Device, Device.id == Succession.device_id)
        .where(which, Succession.until.is_not(None))
    )
    return _Holdings(
        _by_device([(device_id, value) for device_id, value, _ in held]),
        frozenset(value for _, value, kind in held if kind == "leased"),
        {row.device_id: row.new_key for row in keys},
    )


def _key(raw: bytes) -> PublicKey:
    return PublicKey.from_hex(raw.hex())


async def _settings(tx: Transaction, gateway_id: str) -> said.Settings:
    pools = list(
        await tx.session.scalars(select(Pool).where(Pool.gateway_id == gateway_id).order_by(Pool.first))
    )
    own = await tx.session.execute(
        select(Address.value, Pool.prefix_length)
        .join(Pool, Pool.id == Address.pool_id)
        .where(Pool.gateway_id == gateway_id, Address.kind == "gateway", Address.state == "held")
        .order_by(Address.value)
    )
    return said.Settings(
        tuple(networks.interface(value, length) for value, length in own),
        tuple(networks.network(pool.first, pool.prefix_length) for pool in pools),
    )
