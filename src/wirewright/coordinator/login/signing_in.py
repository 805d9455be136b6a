"""From a name and a password to a session, through the second factor where there is one.

What is wrong is told in one sentence for all cases, after the same time, so that nobody learns who is a user.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from wirewright.coordinator.errors import UnauthorizedError
from wirewright.coordinator.login import passwords, second_factor, sessions
from wirewright.coordinator.services import audit, texts
from wirewright.coordinator.services.access import Caller, Role
from wirewright.coordinator.storage.logins import Password, Session
from wirewright.coordinator.storage.tables import Setting, User

if TYPE_CHECKING:
    from wirewright.coordinator.login.passwords import Passwords
    from wirewright.coordinator.login.sessions import Browser
    from wirewright.coordinator.login.throttle import Throttle
    from wirewright.coordinator.services.credentials import Secret
    from wirewright.coordinator.storage import Storage, Transaction


_NOBODY: Final = "login of nobody"
"""The setting that is written where there is nobody whose refusal could be."""


class WrongError(UnauthorizedError):
    """Name, password or code are not right, or nobody's."""

    kind = "wrong"
    title = "The login was refused"


@dataclass(frozen=True, slots=True)
class Entered:
    """A session that has begun; ``secret`` is for its cookie."""

    secret: Secret
    is_whole: bool


async def by_password(  # noqa: PLR0917 - each is something else
    storage: Storage, throttle: Throttle, hashing: Passwords, name: str, password: str, browser: Browser
) -> Entered:
    """Begin a session by name and password: a half one, where a second factor is to be shown."""
    throttle.admit(browser.origin, name, monotonic())
    user, kept = await storage.read(_known, name)
    is_right = await hashing.verify(password[: passwords.LONGEST + 1], kept)
    if user is None or not is_right:
        throttle.failed(browser.origin, name, monotonic())
        await storage.write(_refused, user, browser)
        raise WrongError("Name and password do not fit each other.")
    user_id = user.id

    async def work(tx: Transaction) -> Entered:
        # What was compared may have been changed since: then this is another password's login.
        user = await tx.session.get(User, user_id)
        if user is None or not user.enabled or await passwords.hash_of(tx, user_id) != kept:
            raise WrongError("Name and password do not fit each other.")
        return await enter(tx, user, browser, whole=not await second_factor.is_wanted(tx, user_id))

    entered = await storage.write(work)
    if entered.is_whole:
        throttle.succeeded(browser.origin, name)
    return entered


async def by_code(storage: Storage, throttle: Throttle, text: str, code: str, browser: Browser) -> Entered:
    """Make a half session, whose cookie is ``text``, a whole one; it gets another cookie."""
    _, user = await storage.read(sessions.half, text)
    throttle.admit(browser.origin, user.name, monotonic(), code=True)

    async def work(tx: Transaction) -> Entered | None:
        session, user = await sessions.half(tx, text)
        if not await second_factor.show(tx, user.id, code[:64]):
            note_refusal(tx, user, browser, by="second factor")
            return None
        gone = delete(Session).where(Session.id == session.id).returning(Session.id)
        if await tx.session.scalar(gone) is None:
            # Another code of the same half session was quicker.
            return None
        return await enter(tx, user, browser, whole=True, by="password and second factor")

    entered = await storage.write(work)
    if entered is None:
        throttle.failed(browser.origin, user.name, monotonic(), code=True)
        raise WrongError("This code is not right, or was used already. Wait for the next one.")
    throttle.succeeded(browser.origin, user.name)
    return entered


async def prove(  # noqa: PLR0917 - each is something else
    storage: Storage, throttle: Throttle, hashing: Passwords, user: User, password: str, browser: Browser
) -> None:
    """Have who is logged in show their password again, before they change what they log in with.

    Raises `WrongError` if it is another one, or they have none.
    """
    throttle.admit(browser.origin, user.name, monotonic())
    kept = await storage.read(passwords.hash_of, user.id)
    if not await hashing.verify(password[: passwords.LONGEST + 1], kept):
        throttle.failed(browser.origin, user.name, monotonic())
        await storage.write(_refused, user, browser)
        raise WrongError("This is not your password of now.")


async def enter(
    tx: Transaction, user: User, browser: Browser, *, whole: bool, by: str = "password"
) -> Entered:
    """Begin a session of a user who has proved who they are; a whole one is audited."""
    _, secret = await sessions.begin(tx, user, browser, whole=whole, by=by)
    if whole:
        audit.record(tx, _caller(user, browser), "login", user.id, by=by)
    return Entered(secret, whole)


def note_refusal(tx: Transaction, user: User, browser: Browser, *, by: str) -> None:
    """Write down that somebody was refused who would have been ``user``."""
    audit.record(tx, _caller(user, browser), "login.refused", user.id, by=by)


async def _known(tx: Transaction, name: str) -> tuple[User | None, str | None]:
    if not texts.is_handle(name):
        return None, None
    # One question for all, whoever exists.
    query = select(User, Password.hash).outerjoin(Password, Password.user_id == User.id)
    row = (await tx.session.execute(query.where(User.name == name, User.enabled))).one_or_none()
    return (None, None) if row is None else (row[0], row[1])


async def _refused(tx: Transaction, user: User | None, browser: Browser) -> None:
    """Write down an attempt at somebody's name; names of nobody are not kept: anything may stand there.

    When somebody tried one is written in the other's place, so that a commit's time does not tell the two
    apart.
    """
    if user is not None:
        note_refusal(tx, user, browser, by="password")
        return
    insert = (postgresql.insert if tx.dialect == "postgresql" else sqlite.insert)(Setting)
    kept = insert.values(name=_NOBODY, value={"at": tx.now})
    await tx.session.execute(
        kept.on_conflict_do_update(index_elements=["name"], set_={"value": {"at": tx.now}})
    )


def _caller(user: User, browser: Browser) -> Caller:
    return Caller(f"user {user.name}", browser.origin, Role(user.role), frozenset(), user.id)
