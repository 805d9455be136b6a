"""Logging in, by a password and perhaps a second factor, and out."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from wirewright.coordinator.api.dependencies import Store, the_coordinator
from wirewright.coordinator.errors import CoordinatorError, TooManyError, UnauthorizedError
from wirewright.coordinator.login import sessions, setup, signing_in
from wirewright.coordinator.login.passkeys import Party
from wirewright.coordinator.login.signing_in import Entered, WrongError
from wirewright.coordinator.web.cookies import SESSION, cookie, set_cookie
from wirewright.coordinator.web.problems import AwayError, timed
from wirewright.coordinator.web.rendering import render
from wirewright.coordinator.web.visitors import Perhaps, Visiting, browser_of, local_path, root_url, the_site

router = APIRouter()
Next = Annotated[str, Form(max_length=500)]


@router.get("/login")
async def show(
    request: Request,
    store: Store,
    visitor: Perhaps,
    next_: Annotated[str, Query(alias="next", max_length=500)] = "/",
) -> Response:
    """Show the ways in."""
    if visitor is not None:
        return RedirectResponse(local_path(next_), 303)
    if await store.read(setup.is_first):
        return RedirectResponse("/setup", 303)
    return shown(request, next_)


@router.post("/login")
async def log_in(
    request: Request,
    store: Store,
    name: Annotated[str, Form(max_length=64)] = "",
    password: Annotated[str, Form(max_length=2000)] = "",
    next_: Annotated[Next, Form(alias="next")] = "/",
) -> Response:
    """Take a name and a password."""
    coordinator = the_coordinator(request)
    try:
        entered = await signing_in.by_password(
            store, coordinator.throttle, coordinator.passwords, name, password, browser_of(request)
        )
    except CoordinatorError as error:
        return shown(request, next_, name, error)
    return entered_by(request, entered, next_)


@router.get("/login/second")
async def show_second(
    request: Request, store: Store, next_: Annotated[str, Query(alias="next", max_length=500)] = "/"
) -> Response:
    """Ask for the second factor."""
    await _half(request, store)
    return render(request, "second.html", next=local_path(next_), error=None)


@router.post("/login/second")
async def take_second(
    request: Request,
    store: Store,
    code: Annotated[str, Form(max_length=64)] = "",
    next_: Annotated[Next, Form(alias="next")] = "/",
) -> Response:
    """Take a code of the second factor."""
    text = await _half(request, store)
    throttle = the_coordinator(request).throttle
    try:
        entered = await signing_in.by_code(store, throttle, text, code, browser_of(request))
    except (WrongError, TooManyError) as error:
        answer = render(request, "second.html", error.status, next=local_path(next_), error=str(error))
        return timed(answer, error)
    return entered_by(request, entered, next_)


@router.post("/logout")
async def log_out(
    request: Request,
    store: Store,
    visitor: Visiting,
    next_: Annotated[Next, Form(alias="next")] = "/",
) -> Response:
    """End the session; who is to log in again comes back to where they were."""
    await store.write(sessions.end, visitor.caller, visitor.session.id)
    target = local_path(next_)
    answer = RedirectResponse("/login" if target == "/" else f"/login?next={quote(target, safe='')}", 303)
    set_cookie(answer, the_site(request), SESSION, None)
    return answer


async def _half(request: Request, store: Store) -> str:
    """Return the cookie of a session that waits for its second factor, or lead back to the login."""
    text = cookie(the_site(request), SESSION, request.cookies) or ""
    try:
        await store.read(sessions.half, text)
    except UnauthorizedError:
        raise AwayError("/login") from None
    return text


def entered_by(request: Request, entered: Entered, to: str) -> Response:
    """Answer with a session that has begun: where to go, and its cookie."""
    target = local_path(to)
    answer = RedirectResponse(target if entered.is_whole else _second(target), 303)
    set_cookie(answer, the_site(request), SESSION, entered.secret.expose())
    return answer


def _second(target: str) -> str:
    return f"/login/second?next={quote(target, safe='')}"


def shown(request: Request, to: str, name: str = "", error: CoordinatorError | None = None) -> Response:
    """Show the ways in, perhaps with what was wrong."""
    there = the_coordinator(request).provider
    answer = render(
        request,
        "login.html",
        200 if error is None else error.status,
        name=name,
        next=local_path(to),
        error=None if error is None else str(error),
        ways={
            "passkeys": Party.at(root_url(request)) is not None,
            "oidc": None if there is None else there.settings.name,
        },
    )
    return timed(answer, error)
