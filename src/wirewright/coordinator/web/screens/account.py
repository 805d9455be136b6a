"""One's own account: password, second factor, sessions; and what the page is in this browser."""

from typing import Annotated

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import RedirectResponse, Response

from wirewright.coordinator.api.dependencies import Store, the_coordinator
from wirewright.coordinator.api.models import UUID
from wirewright.coordinator.errors import CoordinatorError, InvalidError
from wirewright.coordinator.login import (
    links,
    oidc,
    passkeys,
    passwords,
    second_factor,
    sessions,
    signing_in,
)
from wirewright.coordinator.login.passkeys import Party
from wirewright.coordinator.login.sessions import Visitor
from wirewright.coordinator.services import users
from wirewright.coordinator.storage import Storage, Transaction
from wirewright.coordinator.web import lifetimes
from wirewright.coordinator.web.integrity import scripts
from wirewright.coordinator.web.problems import timed
from wirewright.coordinator.web.rendering import render
from wirewright.coordinator.web.saying import done
from wirewright.coordinator.web.visitors import Fresh, Visiting, browser_of, root_url

router = APIRouter(prefix="/account")
Id = Annotated[str, Path(pattern=UUID)]


@router.get("")
async def show(request: Request, store: Store, visitor: Visiting) -> Response:
    """Show one's account."""
    return await _page(request, store, visitor)


@router.post("/password")
async def change_password(
    request: Request,
    store: Store,
    visitor: Visiting,
    now: Annotated[str, Form(max_length=2000)] = "",
    password: Annotated[str, Form(max_length=2000)] = "",
    again: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    """Take another password, from who knows the one that is; other sessions end."""
    hashing = the_coordinator(request).passwords
    try:
        await _prove(request, store, visitor, now)
        if password != again:
            raise InvalidError("The two new passwords are not the same.")
        passwords.check(password, visitor.user.name)
        hashed = await hashing.hash(password)
        await store.write(
            passwords.set_password, visitor.caller, visitor.user.id, hashed, keep=visitor.session.id
        )
    except CoordinatorError as error:
        return await _page(request, store, visitor, error=error)
    return done(request, "/account", "password")


@router.post("/second-factor")
async def begin_second_factor(store: Store, visitor: Fresh) -> Response:
    """Make a secret for an authenticator."""
    await store.write(second_factor.begin, visitor.user)
    return RedirectResponse("/account/second-factor", 303)


@router.get("/second-factor")
async def show_second_factor(request: Request, store: Store, visitor: Fresh) -> Response:
    """Show the code to scan, and ask for a first code."""
    address = await store.read(second_factor.pending, visitor.user)
    if address is None:
        return RedirectResponse("/account", 303)
    return render(request, "second_factor.html", address=address, error=None)


@router.post("/second-factor/confirm")
async def confirm_second_factor(
    request: Request, store: Store, visitor: Fresh, code: Annotated[str, Form(max_length=64)] = ""
) -> Response:
    """Take the second factor into use, and show the recovery codes this once."""
    try:
        codes = await store.write(second_factor.confirm, visitor.caller, visitor.user.id, code)
    except InvalidError as error:
        address = await store.read(second_factor.pending, visitor.user)
        return render(request, "second_factor.html", error.status, address=address, error=str(error))
    return render(request, "recovery.html", codes=codes)


@router.post("/second-factor/remove")
async def remove_second_factor(
    request: Request, store: Store, visitor: Visiting, now: Annotated[str, Form(max_length=2000)] = ""
) -> Response:
    """Log in without it from now on; the password is asked for once more."""
    try:
        await _prove(request, store, visitor, now)
    except CoordinatorError as error:
        return await _page(request, store, visitor, error=error)
    await store.write(second_factor.remove, visitor.caller, visitor.user.id)
    return done(request, "/account", "second-factor-removed")


@router.post("/sessions/{session}/end")
async def end_session(request: Request, store: Store, visitor: Visiting, session: Id) -> Response:
    """Log out another browser."""
    await store.write(sessions.end, visitor.caller, session)
    return done(request, "/account", "session-ended")


async def _prove(request: Request, store: Storage, visitor: Visitor, password: str) -> None:
    """Have the visitor show their password again; if they have none, that they have logged in lately.

    Who came by a link of the machine's owner may have lost it: they show nothing else, either.
    """
    coordinator = the_coordinator(request)
    if visitor.session.by == links.BY or await store.read(passwords.hash_of, visitor.user.id) is None:
        sessions.require_fresh(visitor.session, store.clock())
        return
    await signing_in.prove(
        store, coordinator.throttle, coordinator.passwords, visitor.user, password, browser_of(request)
    )


async def _page(
    request: Request, store: Storage, visitor: Visitor, *, error: CoordinatorError | None = None
) -> Response:
    async def work(tx: Transaction) -> dict[str, object]:
        return {
            "now": tx.now,
            "has_password": await passwords.hash_of(tx, visitor.user.id) is not None,
            "has_second": await second_factor.is_wanted(tx, visitor.user.id),
            "needs_password": visitor.session.by != links.BY,
            "passkeys": await passkeys.listed(tx, visitor.user.id),
            "identities": await oidc.listed(tx, visitor.user.id),
            "codes_left": await second_factor.left(tx, visitor.user.id),
            "sessions": await sessions.listed(tx, visitor.user.id),
            "tokens": await users.tokens_of(tx, visitor.user.id),
            "is_fresh": sessions.is_fresh(visitor.session, tx.now),
        }

    there = the_coordinator(request).provider
    answer = render(
        request,
        "account.html",
        200 if error is None else error.status,
        has_passkeys_here=Party.at(root_url(request)) is not None,
        provider=None if there is None else there.settings.name,
        scopes=sorted(visitor.caller.scopes),
        lifetimes=lifetimes.CHOICES,
        scripts=scripts(),
        error=None if error is None else str(error),
        **await store.read(work),
    )
    return timed(answer, error)
