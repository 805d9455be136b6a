"""What another user logs in with, for who looks after them: shown, and taken away."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from wirewright.coordinator.api.dependencies import Store
from wirewright.coordinator.api.models import UUID
from wirewright.coordinator.errors import ForbiddenError
from wirewright.coordinator.login import oidc, passkeys, passwords, second_factor, sessions
from wirewright.coordinator.login.sessions import Visitor
from wirewright.coordinator.services import users
from wirewright.coordinator.services.access import Caller, Scope
from wirewright.coordinator.storage import Transaction
from wirewright.coordinator.storage.logins import Identity, Passkey, Session
from wirewright.coordinator.storage.tables import Token
from wirewright.coordinator.web.confirming import Question, ask
from wirewright.coordinator.web.saying import done
from wirewright.coordinator.web.screens.api_keys import about_key
from wirewright.coordinator.web.visitors import Fresh, Visiting

router = APIRouter(prefix="/users/{user}")
Id = Annotated[str, Path(pattern=UUID)]
_SESSIONS_END = "their sessions: they are logged out everywhere"


@dataclass(frozen=True, slots=True)
class WaysIn:
    """What a user logs in with, and where they are."""

    has_password: bool
    has_second: bool
    passkeys: list[Passkey]
    identities: list[Identity]
    sessions: list[Session]
    keys: list[Token]


async def ways_in(tx: Transaction, caller: Caller, user: str) -> WaysIn | None:
    """Return it to who may change it."""
    if not caller.may(Scope.USERS_WRITE):
        return None
    return WaysIn(
        await passwords.hash_of(tx, user) is not None,
        await second_factor.is_wanted(tx, user),
        await passkeys.listed(tx, user),
        await oidc.listed(tx, user),
        await sessions.listed(tx, user),
        await users.tokens_of(tx, user),
    )


def refuse_oneself(visitor: Visitor, user: str) -> None:
    """Raise `ForbiddenError` for one's own: on one's account it takes the password that one has."""
    if user == visitor.user.id:
        raise ForbiddenError("This is you: change what you log in with on “Your account”.")


@router.get("/passkeys/{passkey}/remove")
async def ask_to_remove_passkey(
    request: Request, store: Store, visitor: Visiting, user: Id, passkey: Id
) -> Response:
    """Ask again, and say what will be lost."""
    visitor.caller.require(Scope.USERS_WRITE)
    found = await store.read(passkeys.get, visitor.caller, passkey)
    question = Question(f"Remove the passkey {found.name}?", ["logging in by it", _SESSIONS_END])
    return ask(request, question, action=f"/users/{user}/passkeys/{passkey}/remove", back=f"/users/{user}")


@router.post("/passkeys/{passkey}/remove")
async def remove_passkey(
    request: Request, store: Store, visitor: Visiting, user: Id, passkey: Id
) -> Response:
    """Forget a passkey."""
    visitor.caller.require(Scope.USERS_WRITE)
    await store.write(passkeys.remove, visitor.caller, passkey)
    return done(request, f"/users/{user}", "passkey-removed")


@router.get("/identities/remove")
async def ask_to_remove_identities(request: Request, store: Store, visitor: Visiting, user: Id) -> Response:
    """Ask again, and say what will be lost."""
    visitor.caller.require(Scope.USERS_WRITE)
    found = await store.read(users.get, user)
    known = await store.read(oidc.listed, user)
    losses = [*(f"logging in as {each.subject} at {each.issuer}" for each in known), _SESSIONS_END]
    question = Question(f"Forget who {found.name} is elsewhere?", losses, button="Forget")
    return ask(request, question, action=f"/users/{user}/identities/remove", back=f"/users/{user}")


@router.post("/identities/remove")
async def remove_identities(request: Request, store: Store, visitor: Visiting, user: Id) -> Response:
    """Forget who a user is at providers."""
    visitor.caller.require(Scope.USERS_WRITE)
    await store.write(oidc.remove_all, visitor.caller, user)
    return done(request, f"/users/{user}", "identities-removed")


@router.get("/second-factor/remove")
async def ask_to_remove_second_factor(
    request: Request, store: Store, visitor: Visiting, user: Id
) -> Response:
    """Ask again, and say what will be lost."""
    visitor.caller.require(Scope.USERS_WRITE)
    found = await store.read(users.get, user)
    losses = ["their second factor: from then on their password alone lets them in", "their recovery codes"]
    question = Question(f"Remove the second factor of {found.name}?", losses)
    return ask(request, question, action=f"/users/{user}/second-factor/remove", back=f"/users/{user}")


@router.post("/second-factor/remove")
async def remove_second_factor(request: Request, store: Store, visitor: Fresh, user: Id) -> Response:
    """Have a user log in without a second factor."""
    visitor.caller.require(Scope.USERS_WRITE)
    refuse_oneself(visitor, user)
    await store.write(second_factor.remove, visitor.caller, user)
    return done(request, f"/users/{user}", "second-factor-removed")


@router.post("/sessions/{session}/end")
async def end_session(request: Request, store: Store, visitor: Visiting, user: Id, session: Id) -> Response:
    """Log out one of a user's browsers."""
    visitor.caller.require(Scope.USERS_WRITE)
    await store.write(sessions.end, visitor.caller, session)
    return done(request, f"/users/{user}", "session-ended")


@router.get("/keys/{token}/remove")
async def ask_to_remove_key(
    request: Request, store: Store, visitor: Visiting, user: Id, token: Id
) -> Response:
    """Ask again, and say what will be lost."""
    visitor.caller.require(Scope.USERS_WRITE)
    found = await store.read(users.token, visitor.caller, token)
    return ask(request, about_key(found), action=f"/users/{user}/keys/{token}/remove", back=f"/users/{user}")


@router.post("/keys/{token}/remove")
async def remove_key(request: Request, store: Store, visitor: Visiting, user: Id, token: Id) -> Response:
    """Make a user's API key worth nothing."""
    visitor.caller.require(Scope.USERS_WRITE)
    await store.write(users.delete_token, visitor.caller, token)
    return done(request, f"/users/{user}", "key-removed")
