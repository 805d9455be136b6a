"""A coordinator with something of each kind in it, and who is logged in there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyotp
from sqlalchemy import select

from tests.coordinator.actors import Actors, key
from tests.coordinator.visiting import PASSWORD, code_of, give_second_factor, logged_in, user_of
from wirewright.coordinator.clock import DAY
from wirewright.coordinator.login import links, passwords, second_factor
from wirewright.coordinator.services import devices, gateways, invitations, pools, users
from wirewright.coordinator.services.access import SYSTEM, Role
from wirewright.coordinator.storage.logins import Identity, Passkey, Session
from wirewright.coordinator.storage.tables import Base, Token

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Storage, Transaction

NOT_COMPARED = frozenset({"audit", "change", "report", "endpoint"})


@dataclass
class House:
    """Identifiers by what they are of, as routes name them; cookies and tokens by user."""

    actors: Actors = field(default_factory=Actors)
    ids: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    code: str = ""
    """Of the authenticator that the operator has begun to set up."""
    recovery: str = ""
    """Of the user `other`, who has a second factor."""
    link: str = ""
    """That logs the admin in."""

    @classmethod
    async def furnish(cls, storage: Storage) -> House:
        """Make all of it; what the identifiers are of is the admin's or nobody's, never a member's."""
        made = cls(await Actors.settle(storage))
        made.ids |= {
            "gateway": made.actors.gateway,
            **{name: made.actors.users[name] for name in ("admin", "other")},
        }
        hashed = passwords._HASHER.hash(PASSWORD)
        for name, user in made.actors.users.items():

            async def give(tx: Transaction, user: str = user) -> None:
                await passwords.keep_hash(tx, user, hashed)

            await storage.write(give)
            made.cookies[name] = await logged_in(storage, user)
        await made._logins(storage)
        await made._things(storage)
        return made

    async def _logins(self, storage: Storage) -> None:
        admin, other = self.actors.users["admin"], self.actors.users["other"]
        _, codes = await give_second_factor(storage, other)
        self.recovery = codes[0]
        self.cookies["half"] = await logged_in(storage, other, is_whole=False)
        operator = await user_of(storage, self.actors.users["operator"])
        uri = await storage.write(second_factor.begin, operator)
        self.code = code_of(_totp(uri), storage)
        await logged_in(storage, admin)
        _, secret = await storage.write(links.make, "admin")
        self.link = secret.expose()

        async def work(tx: Transaction) -> None:
            tx.session.add(
                Identity(issuer="https://id.example", subject="1", user_id=admin, created_at=tx.now)
            )
            passkey = Passkey(
                id="00000000-0000-4000-8000-000000000001",
                user_id=admin,
                name="stick",
                credential=b"1",
                public_key=b"2",
                signs=0,
                created_at=tx.now,
                used_at=None,
            )
            tx.session.add(passkey)
            mine = select(Session.id).where(Session.user_id == admin).order_by(Session.id.desc())
            self.ids["session"] = (await tx.session.scalars(mine)).first() or ""
            tokens = select(Token.id).where(Token.user_id == admin)
            self.ids["token"] = (await tx.session.scalars(tokens)).first() or ""
            self.ids["passkey"] = passkey.id

        await storage.write(work)

    async def _things(self, storage: Storage) -> None:
        for name in ("device", "off"):
            new = devices.NewDevice(f"{name} <i>", key(), user_id=self.actors.users["admin"])
            self.ids[name] = (await storage.write(devices.create, SYSTEM, new)).device.id
        change = devices.DeviceChange(enabled=False)
        await storage.write(devices.update, SYSTEM, self.ids["off"], change)
        for name in ("spare", "second"):
            gateway = gateways.NewGateway(name, "vpn.example:51820", key())
            self.ids[name] = (await storage.write(gateways.create, SYSTEM, gateway))[0].id
        # So that the devices' configurations are older than what they would be given now.
        moved = gateways.GatewayChange(endpoint="office.example:51820")
        await storage.write(gateways.update, SYSTEM, self.actors.gateway, moved)
        pool = pools.NewPool(self.ids["second"], "10.97.0.0/24")
        self.ids["pool"] = (await storage.write(pools.create, SYSTEM, pool)).id
        self.ids["user"] = (await storage.write(users.create, SYSTEM, "nadia", Role.MEMBER)).id
        self.ids["gone"] = (await storage.write(users.create, SYSTEM, "gone", Role.MEMBER)).id
        await storage.write(users.update, SYSTEM, self.ids["gone"], enabled=False)

        async def invite(tx: Transaction) -> str:
            ends = tx.now + DAY
            new = invitations.NewInvitation("Carla", "office", None, 3, ends, None, None)
            return (await invitations.create(tx, SYSTEM, new))[0].id

        self.ids["invitation"] = await storage.write(invite)


async def everything(storage: Storage) -> dict[str, list[str]]:
    """All that the database has, but for the audit log, reports, and when somebody was last seen."""

    async def work(tx: Transaction) -> dict[str, list[str]]:
        found = {}
        for table in Base.metadata.sorted_tables:
            if table.name in NOT_COMPARED:
                continue
            columns = [column for column in table.columns if column.name != "seen_at"]
            rows: Any = await tx.session.execute(select(*columns))
            found[table.name] = sorted(map(repr, rows))
        return found

    return await storage.read(work)


def _totp(uri: str) -> Any:

    return pyotp.parse_uri(uri)
