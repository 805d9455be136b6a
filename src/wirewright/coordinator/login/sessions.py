"""Sessions: browsers in which somebody is logged in. The database has them, so that each can be ended.

# Theory

A session begins *whole*, or *half* where the user has a second factor that is not shown yet. A half one may
nothing but become whole, and ends soon. Each login begins another one, with another cookie, so that nobody
has a cookie from before (session fixation). It ends when nobody came for `IDLE`, in any case after `LONGEST`,
at a logout, when its user is disabled, or when something that they prove themselves with is changed.

To look at a session is a read. That somebody was there is written at most once a `STRIDE`, by itself.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select, update

from wirewright.coordinator.clock import DAY, HOUR, MINUTE
from wirewright.coordinator.errors import CoordinatorError, ForbiddenError, NotFoundError, UnauthorizedError
from wirewright.coordinator.identity import new_id
from wirewright.coordinator.services import audit
from wirewright.coordinator.services.access import ROLES, Caller, Role, Scope
from wirewright.coordinator.services.credentials import Kind, Secret
from wirewright.coordinator.storage.bulletin import powers
from wirewright.coordinator.storage.logins import Session
from wirewright.coordinator.storage.tables import User

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Storage, Transaction

IDLE: Final = 12 * HOUR
LONGEST: Final = 30 * DAY
HALF: Final = 5 * MINUTE
"""For which the second factor is waited for."""
_SOME: Final = 4
"""Half sessions of a user, counted by themselves: who knows a password, and no more, ends no whole one."""
FRESH: Final = 15 * MINUTE
"""After a login, in which another way to log in can be added."""
STRIDE: Final = MINUTE
MOST: Final = 32
"""Sessions of a user; the one that nobody used for longest goes."""


@dataclass(frozen=True, slots=True)
class Browser:
    """What a browser tells of itself, for its user to know it by."""

    agent: str
    origin: str
    """The network address that it came from."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """A user who is logged in, and what they may."""

    session: Session
    user: User
    caller: Caller


async def begin(
    tx: Transaction, user: User, browser: Browser, *, whole: bool = True, by: str = "password"
) -> tuple[Session, Secret]:
    """Begin a session of an enabled user, whose secret is for the cookie; ``by`` says what proved them."""
    # Under the user's lock, so that two logins at once do not both find a place, or one that is disabled.
    locked = select(User).where(User.id == user.id).with_for_update()
    found = await tx.session.scalar(locked.execution_options(populate_existing=True))
    if found is None or not found.enabled:
        raise UnauthorizedError("This user is disabled; ask an administrator.")
    kept = select(Session).where(Session.user_id == user.id, Session.is_whole == whole)
    kept = kept.order_by(Session.seen_at.desc(), Session.id.desc())
    for surplus in list(await tx.session.scalars(kept))[(MOST if whole else _SOME) - 1 :]:
        await tx.session.delete(surplus)
        tx.touch(powers(user.id))
    secret = Secret.generate(Kind.SESSION)
    session = Session(
        id=new_id(tx.now),
        user_id=user.id,
        public_id=secret.public_id,
        secret_hash=secret.hash,
        is_whole=whole,
        by=by[:32],
        agent="".join(each for each in browser.agent[:200] if each.isprintable()),
        origin=browser.origin[:64],
        began_at=tx.now,
        seen_at=tx.now,
        ends_at=tx.now + (LONGEST if whole else HALF),
    )
    tx.session.add(session)
    await tx.session.flush()
    return session, secret


async def visit(storage: Storage, text: str, origin: str) -> Visitor:
    """Return who has a cookie, and note that they were here; raise `UnauthorizedError`."""
    visitor = await storage.read(authenticate, text, origin)
    if storage.clock() - visitor.session.seen_at >= STRIDE:
        # A database that takes no changes now can be looked at.
        with suppress(CoordinatorError):
            await storage.write(_seen, visitor.session.id)
    return visitor


async def authenticate(tx: Transaction, text: str, origin: str) -> Visitor:
    """Return who has the cookie of a whole session, or raise `UnauthorizedError`; why not is not told."""
    session, user = await _found(tx, text)
    if not session.is_whole:
        raise UnauthorizedError("This session is unknown or over.")
    role = Role(user.role)
    return Visitor(session, user, Caller(f"user {user.name}", origin, role, ROLES[role], user.id))


async def half(tx: Transaction, text: str) -> tuple[Session, User]:
    """Return whose half session has this cookie, or raise `UnauthorizedError`."""
    session, user = await _found(tx, text)
    if session.is_whole:
        raise UnauthorizedError("This session is unknown or over.")
    return session, user


async def _found(tx: Transaction, text: str) -> tuple[Session, User]:
    secret = Secret.parse(Kind.SESSION, text)
    row = None
    if secret is not None:
        query = select(Session, User).join(User, User.id == Session.user_id)
        row = (await tx.session.execute(query.where(Session.public_id == secret.public_id))).one_or_none()
    session, user = row if row is not None else (None, None)
    known = secret is not None and secret.matches(session.secret_hash if session else None)
    if not known or session is None or user is None or not user.enabled or is_over(session, tx.now):
        raise UnauthorizedError("This session is unknown or over.")
    return session, user


def is_over(session: Session, now: int) -> bool:
    """Whether a session has ended by time."""
    return session.ends_at <= now or session.seen_at + IDLE <= now


def is_fresh(session: Session, now: int) -> bool:
    """Whether somebody has shown who they are lately."""
    return now < session.began_at + FRESH


def require_fresh(session: Session, now: int) -> None:
    """Raise `ForbiddenError` unless somebody has shown who they are lately."""
    if not is_fresh(session, now):
        minutes = FRESH // MINUTE
        raise ForbiddenError(
            f"Your login is older than {minutes} minutes, and whoever found this browser open could do this, "
            "too. Log in again, and repeat it."
        )


async def end(tx: Transaction, caller: Caller, session_id: str) -> None:
    """End a session: one's own, or anybody's for who may change users."""
    query = select(Session).where(Session.id == session_id).with_for_update()
    session: Session | None = await tx.session.scalar(query)
    if session is None or (session.user_id != caller.user_id and not caller.may(Scope.USERS_WRITE)):
        raise NotFoundError(f"There is no session {session_id}.")
    await tx.session.delete(session)
    tx.touch(powers(session.user_id))
    audit.record(tx, caller, "session.end", session.user_id, session=session.id)


async def end_all(tx: Transaction, user_id: str, *, but: str | None = None) -> None:
    """End all sessions of a user, perhaps but the one in which this is asked for."""
    gone = delete(Session).where(Session.user_id == user_id)
    await tx.session.execute(gone if but is None else gone.where(Session.id != but))
    tx.touch(powers(user_id))


async def listed(tx: Transaction, user_id: str) -> list[Session]:
    """Return a user's sessions, the newest first."""
    query = (
        select(Session).where(Session.user_id == user_id, Session.is_whole).order_by(Session.seen_at.desc())
    )
    return [session for session in await tx.session.scalars(query) if not is_over(session, tx.now)]


async def clear(tx: Transaction) -> None:
    """Remove sessions that are over."""
    over = (Session.ends_at <= tx.now) | (Session.seen_at <= tx.now - IDLE)
    await tx.session.execute(delete(Session).where(over))


async def _seen(tx: Transaction, session_id: str) -> None:
    await tx.session.execute(update(Session).where(Session.id == session_id).values(seen_at=tx.now))
