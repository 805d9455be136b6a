"""Gateways, their settings and credentials."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from sqlalchemy import exists, or_, select

from wirewright.config.values import Endpoint
from wirewright.coordinator.errors import ConflictError, InvalidError, NotFoundError, UnauthorizedError
from wirewright.coordinator.identity import new_id
from wirewright.coordinator.services import audit, changes, texts
from wirewright.coordinator.services.access import Caller, Role
from wirewright.coordinator.services.credentials import Kind, Secret
from wirewright.coordinator.services.paging import Page, page
from wirewright.coordinator.storage.tables import Device, Gateway, Pool

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Transaction

SERVERS: Final = 8
"""Name servers of a gateway, at most."""
_TOLD: Final = 20
"""Names of gateways in a refusal, at most."""


@dataclass(frozen=True, slots=True)
class NewGateway:
    """What a gateway begins with; ``endpoint`` is where its devices find it."""

    name: str
    endpoint: str
    public_key: str | None = None
    dns: tuple[str, ...] = ()
    mtu: int | None = None


async def create(
    tx: Transaction, caller: Caller, new: NewGateway, *, embedded: bool = False
) -> tuple[Gateway, Secret | None]:
    """Make a gateway, and the credential that it proves itself with (an embedded one needs none)."""
    name = texts.handle(new.name, "The name of a gateway")
    await _refuse_taken(tx, name, new.public_key)
    secret = None if embedded else Secret.generate(Kind.GATEWAY)
    gateway = Gateway(
        id=new_id(tx.now),
        name=name,
        public_key=bytes(texts.public_key(new.public_key)) if new.public_key else None,
        endpoint=_endpoint(new.endpoint),
        dns=_dns(new.dns),
        mtu=_mtu(new.mtu),
        credential_id=secret.public_id if secret else None,
        credential_hash=secret.hash if secret else None,
        revision=0,
        oldest_change=1,
        configuration=0,
        seen_at=None,
        created_at=tx.now,
    )
    tx.session.add(gateway)
    await tx.session.flush()
    audit.record(tx, caller, "gateway.create", gateway.id, name=name, endpoint=gateway.endpoint)
    return gateway, secret


async def choose(tx: Transaction, wanted: str | None) -> str:
    """Return the gateway that was asked for, by its identifier or its name, or the only one there is."""
    if wanted is not None:
        if not texts.is_handle(wanted):
            raise NotFoundError(f"There is no gateway called {wanted[:64]!r}.")
        # An identifier goes before a name that looks like one.
        known = select(Gateway.id).where(or_(Gateway.id == wanted, Gateway.name == wanted))
        found = await tx.session.scalar(known.order_by(Gateway.id != wanted).limit(1))
        if found is None:
            raise NotFoundError(f"There is no gateway called {wanted!r}.")
        return found
    named = select(Gateway.id, Gateway.name).order_by(Gateway.name).limit(_TOLD)
    rows = (await tx.session.execute(named)).all()
    if not rows:
        raise InvalidError("There is no gateway yet.")
    if len(rows) > 1:
        names = ", ".join(name for _, name in rows) + (", …" if len(rows) == _TOLD else "")
        raise InvalidError(f"Name the gateway: there are {names}.")
    only: str = rows[0][0]
    return only


async def listed(tx: Transaction, after: str | None, limit: int) -> Page[Gateway]:
    """Return gateways."""
    return await page(tx, select(Gateway), Gateway.id, after, limit)


@dataclass(frozen=True, slots=True)
class GatewayChange:
    """What is to differ of a gateway; ``None`` leaves a thing as it is."""

    endpoint: str | None = None
    public_key: str | None = None
    dns: tuple[str, ...] | None = None
    mtu: int | None = None


async def update(tx: Transaction, caller: Caller, gateway_id: str, change: GatewayChange) -> Gateway:
    """Change what devices are told of a gateway."""
    gateway = await changes.lock(tx, gateway_id)
    told: dict[str, object] = {}
    before = _said(gateway)
    if change.endpoint is not None:
        told["endpoint"] = gateway.endpoint = _endpoint(change.endpoint)
    if change.public_key is not None:
        await _refuse_taken(tx, None, change.public_key, but=gateway.id)
        gateway.public_key = bytes(texts.public_key(change.public_key))
        told["public_key"] = change.public_key
    if change.dns is not None:
        told["dns"] = gateway.dns = _dns(change.dns)
    if change.mtu is not None:
        told["mtu"] = gateway.mtu = _mtu(change.mtu)
    if before != _said(gateway):
        gateway.configuration += 1
    audit.record(tx, caller, "gateway.update", gateway.id, **told)
    return gateway


async def tell_key(tx: Transaction, gateway_id: str, public_key: str) -> Gateway:
    """Take a gateway's word for its public key."""
    gateway = await changes.found(tx, gateway_id)
    if gateway.public_key == bytes(texts.public_key(public_key)):
        return gateway
    caller = Caller(f"gateway {gateway.name}", "", Role.MEMBER, frozenset())
    return await update(tx, caller, gateway_id, GatewayChange(public_key=public_key))


async def renew_credential(tx: Transaction, caller: Caller, gateway_id: str) -> tuple[Gateway, Secret]:
    """Make a new credential; the one before is worth nothing from now on."""
    gateway = await changes.lock(tx, gateway_id)
    secret = Secret.generate(Kind.GATEWAY)
    gateway.credential_id, gateway.credential_hash = secret.public_id, secret.hash
    audit.record(tx, caller, "gateway.credential", gateway.id)
    # Streams that were opened with the old one look again.
    tx.touch(changes.topic(gateway.id))
    return gateway, secret


async def delete(tx: Transaction, caller: Caller, gateway_id: str) -> None:
    """Remove a gateway that has neither devices nor pools."""
    gateway = await changes.lock(tx, gateway_id)
    for table, what in ((Device, "devices"), (Pool, "pools")):
        if await tx.session.scalar(select(exists().where(table.gateway_id == gateway.id))):
            raise ConflictError(f"The gateway {gateway.name} still has {what}; remove them first.")
    await tx.session.delete(gateway)
    audit.record(tx, caller, "gateway.delete", gateway.id, name=gateway.name)
    tx.touch(changes.topic(gateway.id))


async def authenticate(tx: Transaction, text: str) -> Gateway:
    """Return the gateway that a credential belongs to, or raise `UnauthorizedError`."""
    secret = Secret.parse(Kind.GATEWAY, text)
    gateway = None
    if secret is not None:
        gateway = await tx.session.scalar(select(Gateway).where(Gateway.credential_id == secret.public_id))
    if secret is None or not secret.matches(gateway.credential_hash if gateway else None) or gateway is None:
        raise UnauthorizedError("This needs the credential of a gateway (wwg_…).")
    return gateway


async def _refuse_taken(tx: Transaction, name: str | None, key: str | None, but: str | None = None) -> None:
    if name is not None and await tx.session.scalar(select(exists().where(Gateway.name == name))):
        raise ConflictError(f"There is a gateway {name} already.")
    if key is not None:
        raw = bytes(texts.public_key(key))
        taken = await tx.session.scalar(select(Gateway.id).where(Gateway.public_key == raw))
        if taken not in {None, but} or await tx.session.scalar(
            select(exists().where(Device.public_key == raw))
        ):
            raise ConflictError("Another gateway or device has this public key.")


def _said(gateway: Gateway) -> tuple[object, ...]:
    """Return what configurations of devices say of a gateway."""
    return gateway.endpoint, gateway.public_key, list(gateway.dns), gateway.mtu


def _endpoint(text: str) -> str:
    host, _, port = text.rpartition(":")
    try:
        return str(Endpoint(host.removeprefix("[").removesuffix("]"), int(port[:6])))
    except ValueError:
        raise InvalidError("An endpoint is HOST:PORT, with an IPv6 address in brackets.") from None


def _dns(servers: tuple[str, ...]) -> list[str]:
    if len(servers) > SERVERS:
        raise InvalidError(f"A gateway has at most {SERVERS} name servers.")
    try:
        return [str(ip_address(server)) for server in servers]
    except ValueError:
        raise InvalidError("A name server is an IP address.") from None


def _mtu(mtu: int | None) -> int | None:
    if mtu is not None and not 1280 <= mtu <= 65_535:
        raise InvalidError("An MTU is from 1280 to 65535 bytes.")
    return mtu
