"""Who asks in these tests, and a clock that they move."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wirewright.coordinator.clock import DAY
from wirewright.coordinator.services import bootstrap, gateways, pools, users
from wirewright.coordinator.services.access import SYSTEM, Role, Scope
from wirewright.keys import SecretKey

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Storage


@dataclass
class Clock:
    """Tells the time that it was set to, in microseconds."""

    now: int = 20_000 * DAY

    def __call__(self) -> int:
        return self.now


@dataclass
class Actors:
    """A gateway's identifier, users' identifiers and secrets by name."""

    gateway: str = ""
    credential: str = ""
    users: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def settle(cls, storage: Storage, *networks: str) -> Actors:
        """Make a gateway with pools, and a user and token of each role."""
        made = cls()
        token = await storage.write(bootstrap.first_admin)
        assert token is not None
        made.tokens["admin"] = token.expose()
        new = gateways.NewGateway("office", "vpn.example:51820", key())
        gateway, credential = await storage.write(gateways.create, SYSTEM, new)
        assert credential is not None
        made.gateway, made.credential = gateway.id, credential.expose()
        for network in networks or ("10.88.0.0/16", "fd88::/64"):
            await storage.write(pools.create, SYSTEM, pools.NewPool(gateway.id, network))
        admin = await storage.read(users.authenticate, made.tokens["admin"], "")
        assert admin.user_id is not None
        made.users["admin"] = admin.user_id
        for name, role in (("operator", Role.OPERATOR), ("member", Role.MEMBER), ("other", Role.MEMBER)):
            user = await storage.write(users.create, SYSTEM, name, role)
            made.users[name] = user.id
            wanted = users.NewToken(name, (Scope.ADMIN,), user.id)
            _, secret = await storage.write(users.create_token, admin, wanted)
            made.tokens[name] = secret.expose()
        return made

    def bearer(self, name: str) -> dict[str, str]:
        """The header that a user proves itself with."""
        return {"Authorization": f"Bearer {self.tokens[name]}"}


def key() -> str:
    """A new public key, in base64."""
    return str(SecretKey.generate().public_key)
