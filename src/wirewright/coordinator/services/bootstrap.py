"""The first start: a gateway, its pools, an admin and a token. Later starts change nothing of it.

The first start is over once the process serves. If it ends before (a port is taken), the next is the first
in its place: a row of the settings says what is still to be said or done anew until then.
"""

from __future__ import annotations

import secrets
from base64 import b64encode
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite

from wirewright.coordinator.errors import NotFoundError
from wirewright.coordinator.services import enrolment, gateways, networks, pools, texts, users
from wirewright.coordinator.services.access import SYSTEM, Caller, Role, Scope
from wirewright.coordinator.storage.bulletin import powers
from wirewright.coordinator.storage.tables import Device, Gateway, Pool, Setting, Token, User
from wirewright.keys import SecretKey

if TYPE_CHECKING:
    from wirewright.coordinator.services.credentials import Secret
    from wirewright.coordinator.storage import Transaction

IPV4_POOL: Final = "10.88.0.0/16"
LOOPBACK: Final = "127.0.0.1"
"""What is guessed to be a machine's address where it has no way to others."""
EMBEDDED: Final = "embedded"
"""The name of the gateway that lives in the coordinator's process."""
_POOLS: Final = "pools"
_RECOVERED: Final = "recovered"
_UNFINISHED: Final = "first-start"
"""The row of a first start that is not over; its value has the names of what it made."""
_GUESS: Final = "guessed-endpoint"
"""The row of an endpoint that nobody said."""
_ADMIN: Final = "admin"
_GATEWAY: Final = "gateway"


async def prepare(tx: Transaction) -> None:
    """Write what all replicas must agree on, if no other one has."""
    key = SecretKey.generate()
    raw = bytearray(32)
    key.copy_into(raw)
    for name, value in ((_POOLS, {}), (enrolment.ENROLMENT_KEY, {"key": b64encode(raw).decode()})):
        insert = postgresql.insert if tx.dialect == "postgresql" else sqlite.insert
        await tx.session.execute(insert(Setting).values(name=name, value=value).on_conflict_do_nothing())


@dataclass(frozen=True, slots=True)
class FirstStart:
    """What came of a start: the embedded gateway, and an admin's token if there was no user yet."""

    gateway_id: str
    token: Secret | None
    is_lonely: bool = False
    """Whether devices are told an endpoint that nobody said and only this machine finds."""
    unmade: tuple[str, ...] = ()
    """Networks that were asked for and are no pools of it, since it had pools before."""


async def first_start(
    tx: Transaction,
    public_key: str,
    endpoint: str,
    *,
    wanted: tuple[str, ...] | None = None,
    guessed: bool = False,
) -> FirstStart:
    """See to it that there is an embedded gateway with this key, pools, and an admin.

    ``wanted`` are its pools, if it has none yet. Where the endpoint is ``guessed``, a gateway that is there
    keeps the one that it has, unless that was a guess that only its own machine finds.
    """
    await tx.session.scalar(select(Setting).where(Setting.name == _POOLS).with_for_update())
    guess = await _guess(tx)
    unfinished = await _unfinished(tx)
    gateway = await tx.session.scalar(select(Gateway).where(Gateway.name == EMBEDDED))
    if gateway is None:
        new = gateways.NewGateway(EMBEDDED, endpoint, public_key)
        gateway, _ = await gateways.create(tx, SYSTEM, new, embedded=True)
        await _make_pools(tx, gateway, wanted)
        await _remember(tx, _GATEWAY)
    else:
        anew = _GATEWAY in unfinished
        if anew and not await tx.session.scalar(select(exists().where(Device.gateway_id == gateway.id))):
            found = await tx.session.scalars(select(Pool.id).where(Pool.gateway_id == gateway.id))
            for pool in list(found):
                await pools.delete(tx, SYSTEM, pool)
            await _make_pools(tx, gateway, wanted)
        if guessed and not anew and gateway.endpoint != guess:
            endpoint, guessed = gateway.endpoint, False
        if (gateway.endpoint, gateway.public_key) != (endpoint, bytes(texts.public_key(public_key))):
            change = gateways.GatewayChange(endpoint=endpoint, public_key=public_key)
            await gateways.update(tx, SYSTEM, gateway.id, change)
    await tx.session.execute(delete(Setting).where(Setting.name == _GUESS))
    is_lonely = guessed and endpoint.startswith(f"{LOOPBACK}:")
    if is_lonely:
        tx.session.add(Setting(name=_GUESS, value={"endpoint": endpoint}))
    return FirstStart(gateway.id, await first_admin(tx), is_lonely, await _unmade(tx, gateway, wanted or ()))


async def is_admin_new(tx: Transaction) -> bool:
    """Whether no process has served since the first admin was made."""
    return _ADMIN in await _unfinished(tx)


async def serves(tx: Transaction, *, gateway: bool) -> None:
    """Note that a process serves, so that its first start is over; ``gateway`` says whether it has that."""
    row = await tx.session.get(Setting, _UNFINISHED)
    if row is None:
        return
    left = {} if gateway else {name: value for name, value in row.value.items() if name == _GATEWAY}
    if left:
        row.value = left
    else:
        await tx.session.delete(row)


async def embedded(tx: Transaction) -> Gateway:
    """Return the gateway that lives in the coordinator's process."""
    gateway = await tx.session.scalar(select(Gateway).where(Gateway.name == EMBEDDED))
    if gateway is None:
        raise NotFoundError("There is no embedded gateway.")
    return gateway


async def first_admin(tx: Transaction) -> Secret | None:
    """Make the user ``admin`` and a token, if there is no user at all."""
    if await tx.session.scalar(select(User.id).limit(1)) is not None:
        return None
    user = await users.create(tx, SYSTEM, "admin", Role.ADMIN)
    await _remember(tx, _ADMIN)
    return await _token(tx, user, "first start")


async def another_token(tx: Transaction) -> Secret:
    """Make a token of the oldest enabled admin: all were lost, and who asks may write the database."""
    query = select(User).where(User.role == Role.ADMIN.value, User.enabled).order_by(User.id).limit(1)
    user = await tx.session.scalar(query)
    if user is None:
        secret = await first_admin(tx)
        if secret is None:
            raise NotFoundError("There is no enabled admin.")
        return secret
    # There are at most so many of a user, and nobody is to be kept out by those of before.
    await tx.session.execute(delete(Token).where(Token.user_id == user.id, Token.name == _RECOVERED))
    tx.touch(powers(user.id))
    return await _token(tx, user, _RECOVERED)


async def _token(tx: Transaction, user: User, name: str) -> Secret:
    admin = Caller(SYSTEM.actor, "", Role.ADMIN, SYSTEM.scopes, user.id)
    _, secret = await users.create_token(tx, admin, users.NewToken(name, (Scope.ADMIN,)))
    return secret


async def _make_pools(tx: Transaction, gateway: Gateway, wanted: tuple[str, ...] | None) -> None:
    for network in wanted or (IPV4_POOL, _random_ula()):
        await pools.create(tx, SYSTEM, pools.NewPool(gateway.id, network))


async def _guess(tx: Transaction) -> str | None:
    row = await tx.session.get(Setting, _GUESS)
    return None if row is None else str(row.value["endpoint"])


async def _unmade(tx: Transaction, gateway: Gateway, wanted: tuple[str, ...]) -> tuple[str, ...]:
    rows = await tx.session.scalars(select(Pool).where(Pool.gateway_id == gateway.id))
    there = {networks.network(pool.first, pool.prefix_length) for pool in rows}
    return tuple(text for text in wanted if pools.read(text) not in there)


async def _unfinished(tx: Transaction) -> frozenset[str]:
    row = await tx.session.get(Setting, _UNFINISHED)
    return frozenset(row.value) if row is not None else frozenset()


async def _remember(tx: Transaction, what: str) -> None:
    """Note what this start has made, for the one after it, should it never serve."""
    row = await tx.session.get(Setting, _UNFINISHED)
    if row is None:
        tx.session.add(Setting(name=_UNFINISHED, value={what: True}))
        await tx.session.flush()
    else:
        row.value = {**row.value, what: True}


def _random_ula() -> str:
    """Return a random /64 of unique local addresses (RFC 4193, section 3.2)."""
    return f"{IPv6Address(0xFD << 120 | secrets.randbits(56) << 64)}/64"
