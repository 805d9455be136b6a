"""Logging in at a provider of identities: there and back, and adding who one is there to one's account.

The way there is a link: browsers hold what a form leads to to this site (``form-action``). To add an identity
is a change, so that it begins with a form of ours, which leads to a page with the link: else another site,
which has a visitor logged in at the provider as somebody else, could have that one added.
"""

from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from wirewright.coordinator.api.dependencies import Store, origin, the_coordinator
from wirewright.coordinator.errors import CoordinatorError, NotFoundError
from wirewright.coordinator.login import oidc
from wirewright.coordinator.login.provider import Provider
from wirewright.coordinator.web.confirming import Question, ask
from wirewright.coordinator.web.cookies import SESSION, VISIT, cookie
from wirewright.coordinator.web.problems import AwayError
from wirewright.coordinator.web.rendering import render
from wirewright.coordinator.web.saying import done
from wirewright.coordinator.web.screens.login import entered_by, shown
from wirewright.coordinator.web.visitors import (
    Fresh,
    Perhaps,
    Visiting,
    browser_of,
    local_path,
    root_url,
    the_site,
)

router = APIRouter()


@router.get("/login/oidc")
async def begin(
    request: Request,
    store: Store,
    visitor: Perhaps,
    next_: Annotated[str, Query(alias="next", max_length=500)] = "/",
) -> Response:
    """Lead to the provider."""
    there, target = _provider(request), local_path(next_)
    if visitor is not None:
        return RedirectResponse(target, 303)
    try:
        the_coordinator(request).throttle.admit(origin(request), "", monotonic())
        address = await oidc.begin(store, there, root_url(request), _visit(request), target)
    except CoordinatorError as error:
        return shown(request, next_, error=error)
    return RedirectResponse(address, 303)


@router.post("/account/identities")
async def begin_adding(request: Request, store: Store, visitor: Fresh) -> Response:
    """Show the link to the provider that leads back with an identity to add."""
    there = _provider(request)
    address = await oidc.begin(store, there, root_url(request), _visit(request), "/account", visitor.caller)
    return render(request, "leave.html", address=address, name=there.settings.name)


@router.get("/account/identities/remove")
async def ask_to_remove(request: Request, store: Store, visitor: Visiting) -> Response:
    """Ask again, and say what will be lost."""
    known = await store.read(oidc.listed, visitor.user.id)
    if not known:
        raise NotFoundError("You have no identity at a provider.")
    losses = [
        *(f"logging in as {each.subject} at {each.issuer}" for each in known),
        "your sessions in other browsers: they are logged out",
    ]
    question = Question("Log in no more by what you have elsewhere?", losses)
    return ask(request, question, action="/account/identities/remove", back="/account")


@router.post("/account/identities/remove")
async def remove(request: Request, store: Store, visitor: Visiting) -> Response:
    """Forget who one is at providers; other browsers are logged out."""
    await store.write(oidc.remove_all, visitor.caller, visitor.user.id, keep=visitor.session.id)
    return done(request, "/account", "identities-removed")


@router.get(oidc.CALLBACK)
async def come_back(request: Request, store: Store, visitor: Perhaps) -> Response:
    """Take what the provider sent the browser back with."""
    there = _provider(request)
    answer = {name: value[:4000] for name, value in request.query_params.items() if len(name) < 40}
    try:
        caller = visitor.caller if visitor is not None else None
        finished = await oidc.finish(store, there, _visit(request), answer, browser_of(request), caller)
    except CoordinatorError as error:
        return shown(request, "/", error=error)
    if finished.entered is None:
        return done(request, local_path(finished.to), "identity-added")
    return entered_by(request, finished.entered, finished.to)


def _provider(request: Request) -> Provider:
    there = the_coordinator(request).provider
    if there is None:
        raise NotFoundError("No provider of identities is set up here.")
    return there


def _visit(request: Request) -> str:
    """Return what this browser has and no other: the cookie of its session, or of its visit."""
    site, cookies = the_site(request), request.cookies
    visit = cookie(site, SESSION, cookies) or cookie(site, VISIT, cookies)
    if visit is None:
        # The page of the login begins one.
        raise AwayError("/login")
    return visit
