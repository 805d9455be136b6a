"""The first start: whoever has the token that the terminal showed once becomes the administrator."""

from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from wirewright.coordinator.api.dependencies import Store, origin, the_coordinator
from wirewright.coordinator.errors import CoordinatorError, InvalidError
from wirewright.coordinator.login import passwords, sessions, setup
from wirewright.coordinator.services.credentials import Secret
from wirewright.coordinator.storage import Transaction
from wirewright.coordinator.web.cookies import SESSION, set_cookie
from wirewright.coordinator.web.problems import timed
from wirewright.coordinator.web.rendering import render
from wirewright.coordinator.web.visitors import browser_of, the_site

router = APIRouter(prefix="/setup")


@router.get("")
async def show(request: Request, store: Store) -> Response:
    """Show what the first start asks for."""
    if not await store.read(setup.is_needed):
        return RedirectResponse("/login", 303)
    return render(request, "setup.html", name="admin", error=None)


@router.post("")
async def complete(
    request: Request,
    store: Store,
    token: Annotated[str, Form(max_length=100)] = "",
    name: Annotated[str, Form(max_length=64)] = "admin",
    password: Annotated[str, Form(max_length=2000)] = "",
    again: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    """Make the administrator, and log them in."""
    try:
        if password != again:
            raise InvalidError("The two passwords are not the same.")
        the_coordinator(request).throttle.admit(origin(request), "", monotonic())
        passwords.check(password, name)
        hashed = await the_coordinator(request).passwords.hash(password)

        async def work(tx: Transaction) -> Secret:
            user = await setup.complete(tx, token.strip(), name, hashed, origin(request))
            return (await sessions.begin(tx, user, browser_of(request)))[1]

        secret = await store.write(work)
    except CoordinatorError as error:
        return timed(render(request, "setup.html", error.status, name=name, error=str(error)), error)
    answer = RedirectResponse("/devices", 303)
    set_cookie(answer, the_site(request), SESSION, secret.expose())
    return answer
