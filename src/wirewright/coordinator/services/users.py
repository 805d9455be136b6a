"""Users and their tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete as delete_rows
from sqlalchemy import exists, func, or_, select

from wirewright.coordinator.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnauthorizedError,
)
from wirewright.coordinator.identity import new_id
from wirewright.coordinator.services import audit, texts
from wirewright.coordinator.services.access import ROLES, Caller, Role, Scope, granted
from wirewright.coordinator.services.credentials import Kind, Secret
from wirewright.coordinator.services.paging import Page, page
from wirewright.coordinator.storage.bulletin import powers
from wirewright.coordinator.storage.logins import Challenge, Session
from wirewright.coordinator.storage.tables import Device, Token, User

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Transaction

TOKENS: Final = 64
"""Tokens of a user, at most."""


async def create(tx: Transaction, caller: Caller, name: str, role: Role) -> User:
    """Make a user, who has no token yet."""
    caller.require_role(role)
    name = texts.handle(name, "The name of a user")
    if await tx.session.scalar(select(exists().where(User.name == name))):
        raise ConflictError(f"There is a user {name} already.")
    user = User(id=new_id(tx.now), name=name, role=role.value, enabled=True, created_at=tx.now)
    tx.session.add(user)
    await tx.session.flush()
    audit.record(tx, caller, "user.create", user.id, name=name, role=role.value)
    return user


async def get(tx: Transaction, user_id: str) -> User:
    """Return a user, or raise `NotFoundError`."""
    user = await tx.session.get(User, user_id)
    if user is None:
        raise NotFoundError(f"There is no user {user_id}.")
    return user


async def choose(tx: Transaction, wanted: str) -> str:
    """Return the identifier of the user who was named, by it or by their name."""
    found = None
    if texts.is_handle(wanted):
        # An identifier goes before a name that looks like one.
        known = select(User.id).where(or_(User.id == wanted, User.name == wanted))
        found = await tx.session.scalar(known.order_by(User.id != wanted).limit(1))
    if found is None:
        raise NotFoundError(f"There is no user called {wanted[:64]!r}.")
    return found


async def listed(tx: Transaction, after: str | None, limit: int, name: str | None = None) -> Page[User]:
    """Return users."""
    query = select(User) if name is None else select(User).where(User.name == name)
    return await page(tx, query, User.id, after, limit)


async def update(
    tx: Transaction, caller: Caller, user_id: str, *, role: Role | None = None, enabled: bool | None = None
) -> User:
    """Change a user's role, or whether its tokens are worth anything."""
    user = await _locked(tx, user_id)
    if role is not None and role != user.role:
        caller.require_role(role)
    if enabled and not user.enabled:
        # Its tokens are worth something again, which is as much as to give it its role.
        caller.require_role(role or Role(user.role))
    if user.role == Role.ADMIN and user.enabled and (role not in {None, Role.ADMIN} or enabled is False):
        await _refuse_last_admin(tx, user)
    if enabled is False or (role is not None and role != user.role):
        # Whoever is logged in does so again, as who they are now; what they had begun is over, too.
        for table in (Session, Challenge):
            await tx.session.execute(delete_rows(table).where(table.user_id == user.id))
    if role is not None:
        user.role = role.value
    if enabled is not None:
        user.enabled = enabled
    tx.touch(powers(user.id))
    audit.record(
        tx, caller, "user.update", user.id, **audit.detail_of(role=role and role.value, enabled=enabled)
    )
    return user


async def delete(tx: Transaction, caller: Caller, user_id: str) -> None:
    """Remove a user and its tokens; one with devices is kept."""
    user = await _locked(tx, user_id)
    if await tx.session.scalar(select(exists().where(Device.user_id == user.id))):
        raise ConflictError(f"{user.name} still has devices; remove them first.")
    if user.role == Role.ADMIN and user.enabled:
        await _refuse_last_admin(tx, user)
    await tx.session.delete(user)
    tx.touch(powers(user.id))
    audit.record(tx, caller, "user.delete", user.id, name=user.name)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to be; without a user it is the caller's own."""

    name: str
    scopes: tuple[Scope, ...]
    user_id: str | None = None
    expires_at: int | None = None


async def create_token(tx: Transaction, caller: Caller, new: NewToken) -> tuple[Token, Secret]:
    """Make a token, which may no more than the one who asks for it."""
    user_id = new.user_id or caller.user_id
    if user_id is None:
        raise InvalidError("Name the user whose token it is to be.")
    if user_id != caller.user_id:
        caller.require(Scope.USERS_WRITE)
    user = await _locked(tx, user_id)
    role = Role(user.role)
    beyond = set(new.scopes) - ROLES[role] - {Scope.ADMIN}
    if beyond:
        raise ForbiddenError(f"The role {role} does not have {', '.join(sorted(beyond))}.")
    allowed = granted(role, new.scopes)
    if not new.scopes or not allowed <= caller.scopes:
        raise ForbiddenError(
            "A token may not do more than the one it is made with, and has at least one scope."
        )
    if new.expires_at is not None and new.expires_at <= tx.now:
        raise InvalidError("The expiry lies in the past.")
    count = select(func.count()).select_from(Token).where(Token.user_id == user.id)
    if (await tx.session.scalar(count) or 0) >= TOKENS:
        raise ConflictError(f"A user has at most {TOKENS} tokens; remove one first.")
    secret = Secret.generate(Kind.TOKEN)
    # ``admin`` grows with its user's role: only who may everything hands it on as such.
    scopes = {Scope.ADMIN} if Scope.ADMIN in new.scopes and caller.may(Scope.ADMIN) else allowed
    ends = [end for end in (new.expires_at, caller.expires_at) if end is not None]
    token = Token(
        id=new_id(tx.now),
        user_id=user.id,
        name=texts.label(new.name, "The name of a token"),
        public_id=secret.public_id,
        secret_hash=secret.hash,
        scopes=sorted(scope.value for scope in scopes),
        expires_at=min(ends, default=None),
        created_at=tx.now,
    )
    tx.session.add(token)
    await tx.session.flush()
    audit.record(tx, caller, "token.create", token.id, name=token.name, user=user.id, scopes=token.scopes)
    return token, secret


async def tokens(tx: Transaction, caller: Caller, after: str | None, limit: int) -> Page[Token]:
    """Return the caller's tokens; those of all for who may read users."""
    query = select(Token)
    if not caller.may(Scope.USERS_READ):
        query = query.where(Token.user_id == caller.user_id)
    return await page(tx, query, Token.id, after, limit)


async def tokens_of(tx: Transaction, user_id: str) -> list[Token]:
    """Return a user's tokens, the oldest first."""
    return list(await tx.session.scalars(select(Token).where(Token.user_id == user_id).order_by(Token.id)))


async def token(tx: Transaction, caller: Caller, token_id: str) -> Token:
    """Return a token: one's own, or anybody's for who may change users."""
    found = await tx.session.get(Token, token_id)
    if found is None or (found.user_id != caller.user_id and not caller.may(Scope.USERS_WRITE)):
        raise NotFoundError(f"There is no token {token_id}.")
    return found


async def delete_token(tx: Transaction, caller: Caller, token_id: str) -> None:
    """Make a token worth nothing."""
    gone = await token(tx, caller, token_id)
    await tx.session.delete(gone)
    tx.touch(powers(gone.user_id))
    audit.record(tx, caller, "token.delete", gone.id, user=gone.user_id)


async def authenticate(tx: Transaction, text: str, origin: str) -> Caller:
    """Return who a token belongs to, or raise `UnauthorizedError`; why not is not told."""
    secret = Secret.parse(Kind.TOKEN, text)
    row = None
    if secret is not None:
        query = select(Token, User).join(User, User.id == Token.user_id)
        row = (await tx.session.execute(query.where(Token.public_id == secret.public_id))).one_or_none()
    token, user = row if row is not None else (None, None)
    known = secret is not None and secret.matches(token.secret_hash if token else None)
    if not known or token is None or user is None or not user.enabled or _expired(token, tx.now):
        raise UnauthorizedError("The bearer token is unknown, expired, or its user is disabled.")
    role = Role(user.role)
    scopes = granted(role, (Scope(scope) for scope in token.scopes))
    return Caller(f"user {user.name}", origin, role, scopes, user.id, token.expires_at)


def _expired(token: Token, now: int) -> bool:
    return token.expires_at is not None and token.expires_at <= now


async def _locked(tx: Transaction, user_id: str) -> User:
    user = await tx.session.scalar(select(User).where(User.id == user_id).with_for_update())
    if user is None:
        raise NotFoundError(f"There is no user {user_id}.")
    return user


async def _refuse_last_admin(tx: Transaction, user: User) -> None:
    """Refuse to lock everybody out. All admins' rows are locked, so that two cannot leave at once."""
    admins = select(User.id).where(User.role == Role.ADMIN.value, User.enabled).order_by(User.id)
    others = [row for row in await tx.session.scalars(admins.with_for_update()) if row != user.id]
    if not others:
        raise ConflictError(f"{user.name} is the last enabled admin; make another one first.")
