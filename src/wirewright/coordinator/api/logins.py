"""What users log in to the page with: ``/sessions``, and passwords and the like below ``/users``.

A passkey is made by a browser on the page, for the page's own name; here it is listed and removed. A login
itself is none of the API's: who asks it has a token.
"""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, SecretStr, StringConstraints

from wirewright.coordinator.api.dependencies import Store, needs, origin, the_coordinator
from wirewright.coordinator.api.models import Asked, Id, Listed
from wirewright.coordinator.api.problems import answers
from wirewright.coordinator.clock import to_datetime
from wirewright.coordinator.errors import ForbiddenError, NotFoundError
from wirewright.coordinator.login import (
    authority,
    oidc,
    passkeys,
    passwords,
    second_factor,
    sessions,
    signing_in,
)
from wirewright.coordinator.login.sessions import Browser
from wirewright.coordinator.login.signing_in import WrongError
from wirewright.coordinator.services import users
from wirewright.coordinator.services.access import Caller, Scope
from wirewright.coordinator.storage import Transaction, logins

router = APIRouter(tags=["logins"])
Reader = Annotated[Caller, needs(Scope.LOGINS_READ)]
Writer = Annotated[Caller, needs(Scope.LOGINS_WRITE)]
_NO_STORE = {"Cache-Control": "no-store"}


class SessionAnswer(BaseModel):
    """A browser in which a user is logged in."""

    id: Id
    user: Id
    by: str
    """What the user proved themselves with."""
    agent: str
    origin: str
    began_at: datetime
    seen_at: datetime
    ends_at: datetime

    @classmethod
    def of(cls, session: logins.Session) -> "SessionAnswer":
        """Return a session as it is shown."""
        return cls(
            id=session.id,
            user=session.user_id,
            by=session.by,
            agent=session.agent,
            origin=session.origin,
            began_at=to_datetime(session.began_at),
            seen_at=to_datetime(session.seen_at),
            ends_at=to_datetime(session.ends_at),
        )


class PasskeyAnswer(BaseModel):
    """A passkey of a user's."""

    id: Id
    name: str
    created_at: datetime
    used_at: datetime | None


class IdentityAnswer(BaseModel):
    """Who a user is at a provider of identities."""

    issuer: str
    subject: str
    created_at: datetime


class LoginsAnswer(BaseModel):
    """What a user logs in with."""

    has_password: bool
    has_second_factor: bool
    recovery_codes: int
    """Those that are left."""
    passkeys: list[PasskeyAnswer]
    identities: list[IdentityAnswer]


class PasswordRequest(Asked):
    """A password to be; ``current`` is what one's own is now, if there is one."""

    password: Annotated[SecretStr, Field(max_length=2000)]
    current: Annotated[SecretStr, Field(max_length=2000)] | None = None


class SecondFactorAnswer(BaseModel):
    """What an authenticator scans; it counts once a code of it was shown."""

    uri: str


class CodeRequest(Asked):
    """A code that an authenticator shows."""

    code: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class RecoveryAnswer(BaseModel):
    """Codes for when the authenticator is lost, each good once; they are shown this once."""

    recovery_codes: list[str]


@router.get("/sessions", responses=answers(404))
async def list_sessions(
    store: Store,
    caller: Reader,
    user: Annotated[Id | None, Query(description="Whose; else one's own.")] = None,
) -> Listed[SessionAnswer]:
    """List the browsers in which a user is logged in, the newest first."""

    async def work(tx: Transaction) -> list[logins.Session]:
        return await sessions.listed(tx, await _visible(tx, caller, user or caller.user_id or ""))

    return Listed(items=[SessionAnswer.of(session) for session in await store.read(work)])


@router.delete("/sessions/{session}", status_code=204, responses=answers(404))
async def end_session(store: Store, caller: Writer, session: Id) -> None:
    """Log a browser out."""
    await store.write(sessions.end, caller, session)


@router.get("/users/{user}/logins", responses=answers(404))
async def show_logins(store: Store, caller: Reader, user: Id) -> LoginsAnswer:
    """Show what a user logs in with."""

    async def work(tx: Transaction) -> LoginsAnswer:
        await _visible(tx, caller, user)
        return LoginsAnswer(
            has_password=await passwords.hash_of(tx, user) is not None,
            has_second_factor=await second_factor.is_wanted(tx, user),
            recovery_codes=await second_factor.left(tx, user),
            passkeys=[_passkey(each) for each in await passkeys.listed(tx, user)],
            identities=[
                IdentityAnswer(
                    issuer=each.issuer, subject=each.subject, created_at=to_datetime(each.created_at)
                )
                for each in await oidc.listed(tx, user)
            ],
        )

    return await store.read(work)


@router.put("/users/{user}/password", status_code=204, responses=answers(404, 429))
async def set_password(
    store: Store, caller: Writer, request: Request, user: Id, body: PasswordRequest
) -> None:
    """Give a user another password, which ends their sessions."""
    coordinator = the_coordinator(request)
    found = await store.read(authority.over, caller, user)
    if user == caller.user_id and await store.read(passwords.hash_of, user) is not None:
        current = body.current.get_secret_value() if body.current else ""
        browser = Browser("", origin(request))
        try:
            await signing_in.prove(
                store, coordinator.throttle, coordinator.passwords, found, current, browser
            )
        except WrongError as error:
            raise ForbiddenError(str(error)) from None
    password = body.password.get_secret_value()
    passwords.check(password, found.name)
    hashed = await coordinator.passwords.hash(password)
    await store.write(passwords.set_password, caller, user, hashed)


@router.post("/users/{user}/second-factor", responses=answers(404, 409))
async def begin_second_factor(
    store: Store, caller: Writer, user: Id, response: Response
) -> SecondFactorAnswer:
    """Make a second factor for oneself, which counts once it is confirmed."""

    async def work(tx: Transaction) -> str:
        _own(caller, user)
        return await second_factor.begin(tx, await authority.over(tx, caller, user))

    response.headers.update(_NO_STORE)
    return SecondFactorAnswer(uri=await store.write(work))


@router.post("/users/{user}/second-factor/confirm", responses=answers(404, 409, 429))
async def confirm_second_factor(
    store: Store, caller: Writer, user: Id, body: CodeRequest, response: Response
) -> RecoveryAnswer:
    """Take one's second factor into use."""

    async def work(tx: Transaction) -> list[str]:
        _own(caller, user)
        await authority.over(tx, caller, user)
        return await second_factor.confirm(tx, caller, user, body.code)

    response.headers.update(_NO_STORE)
    return RecoveryAnswer(recovery_codes=await store.write(work))


@router.delete("/users/{user}/second-factor", status_code=204, responses=answers(404))
async def remove_second_factor(store: Store, caller: Writer, user: Id) -> None:
    """Have a user log in without a second factor."""
    await store.write(second_factor.remove, caller, user)


@router.delete("/users/{user}/identities", status_code=204, responses=answers(404))
async def remove_identities(store: Store, caller: Writer, user: Id) -> None:
    """Forget who a user is at providers of identities, and end their sessions."""
    await store.write(oidc.remove_all, caller, user)


@router.delete("/passkeys/{passkey}", status_code=204, responses=answers(404))
async def remove_passkey(store: Store, caller: Writer, passkey: Id) -> None:
    """Forget a passkey, and end its user's sessions."""
    await store.write(passkeys.remove, caller, passkey)


async def _visible(tx: Transaction, caller: Caller, user_id: str) -> str:
    if user_id != caller.user_id and not caller.may(Scope.USERS_READ):
        raise NotFoundError(f"There is no user {user_id}.")
    return (await users.get(tx, user_id)).id


def _own(caller: Caller, user_id: str) -> None:
    if user_id != caller.user_id:
        raise ForbiddenError("Only a user themselves can have their authenticator show codes.")


def _passkey(passkey: logins.Passkey) -> PasskeyAnswer:
    used = None if passkey.used_at is None else to_datetime(passkey.used_at)
    return PasskeyAnswer(
        id=passkey.id, name=passkey.name, created_at=to_datetime(passkey.created_at), used_at=used
    )
