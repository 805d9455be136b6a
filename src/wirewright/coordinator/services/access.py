"""Who asks, and what they may: a role bounds a user, scopes bound a token.

=========  ==========================================================================================
role       may
=========  ==========================================================================================
admin      everything
operator   all devices, invitations, addresses; reads gateways, users, the audit log and the metrics
member     its own devices, with the policy and the expiry that others gave them; its own tokens and logins
=========  ==========================================================================================

A token may what its scopes *and* its user's role allow. The scope ``admin`` stands for all that the role
has. Nobody gives more than they have: neither a role that may more than the token that asks, nor a token
that may more now, may more once its user is given another role, or lasts longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from wirewright.coordinator.errors import ForbiddenError


class Role(StrEnum):
    """What a user is."""

    ADMIN = "admin"
    OPERATOR = "operator"
    MEMBER = "member"


class Scope(StrEnum):
    """What a token is for."""

    ADMIN = "admin"
    DEVICES_READ = "devices:read"
    DEVICES_WRITE = "devices:write"
    INVITATIONS_READ = "invitations:read"
    INVITATIONS_WRITE = "invitations:write"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    TOKENS_READ = "tokens:read"
    TOKENS_WRITE = "tokens:write"
    LOGINS_READ = "logins:read"
    LOGINS_WRITE = "logins:write"
    GATEWAYS_READ = "gateways:read"
    GATEWAYS_WRITE = "gateways:write"
    ADDRESSES_READ = "addresses:read"
    ADDRESSES_WRITE = "addresses:write"
    AUDIT_READ = "audit:read"
    METRICS_READ = "metrics:read"


_MEMBER = frozenset(
    {
        *(Scope.DEVICES_READ, Scope.DEVICES_WRITE),
        *(Scope.TOKENS_READ, Scope.TOKENS_WRITE),
        *(Scope.LOGINS_READ, Scope.LOGINS_WRITE),
    }
)
ROLES: Final[Mapping[Role, frozenset[Scope]]] = {
    Role.MEMBER: _MEMBER,
    Role.OPERATOR: _MEMBER
    | {
        Scope.INVITATIONS_READ,
        Scope.INVITATIONS_WRITE,
        Scope.USERS_READ,
        Scope.GATEWAYS_READ,
        Scope.ADDRESSES_READ,
        Scope.ADDRESSES_WRITE,
        Scope.AUDIT_READ,
        Scope.METRICS_READ,
    },
    Role.ADMIN: frozenset(Scope),
}
"""What each role may at most."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The one who asks."""

    actor: str
    """For the audit log."""
    origin: str
    """The network address that asked; empty for the coordinator itself."""
    role: Role
    scopes: frozenset[Scope]
    user_id: str | None = None
    expires_at: int | None = None
    """When their token ends; what it makes ends no later."""

    def may(self, scope: Scope) -> bool:
        """Whether they may."""
        return scope in self.scopes

    def require(self, scope: Scope) -> None:
        """Raise `ForbiddenError` if they may not."""
        if scope not in self.scopes:
            raise ForbiddenError(
                f"This takes the scope {scope}, which this token or its user's role does not have."
            )

    def require_role(self, role: Role) -> None:
        """Raise `ForbiddenError` unless they may all that ``role`` may, so that they can give it."""
        if not ROLES[role] <= self.scopes:
            raise ForbiddenError(f"Only a token that may all that the role {role} may can give that role.")

    @property
    def only_own(self) -> bool:
        """Whether they see and change nothing but what is their own."""
        return self.role is Role.MEMBER

    def require_others(self, what: str) -> None:
        """Raise `ForbiddenError` for a member, who may not do ``what``."""
        if self.only_own:
            raise ForbiddenError(f"A member may not {what}; ask an operator.")


def granted(role: Role, scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Return what a token with ``scopes`` may, of a user with ``role``."""
    asked = frozenset(scopes)
    return ROLES[role] if Scope.ADMIN in asked else asked & ROLES[role]


SYSTEM: Final = Caller("coordinator", "", Role.ADMIN, frozenset(Scope))
"""The coordinator itself: its first start, what expires."""
