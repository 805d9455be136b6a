"""The link that the machine's owner makes (``ww serve login-link``): opened, it logs in once."""

from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from wirewright.coordinator.api.dependencies import Store, the_coordinator
from wirewright.coordinator.errors import CoordinatorError
from wirewright.coordinator.login import links
from wirewright.coordinator.web.cookies import SESSION, set_cookie
from wirewright.coordinator.web.problems import timed
from wirewright.coordinator.web.rendering import render
from wirewright.coordinator.web.visitors import browser_of, the_site

router = APIRouter(prefix="/login/link")


@router.get("")
async def show(request: Request) -> Response:
    """Ask whether to use the link: to look at it changes nothing."""
    return render(request, "link.html", error=None)


@router.post("")
async def redeem(request: Request, store: Store, link: Annotated[str, Form(max_length=100)] = "") -> Response:
    """Log in."""
    browser = browser_of(request)
    try:
        the_coordinator(request).throttle.admit(browser.origin, "", monotonic())
        entered = await store.write(links.redeem, link.strip(), browser)
    except CoordinatorError as error:
        return timed(render(request, "link.html", error.status, error=str(error)), error)
    answer = RedirectResponse("/account", 303)
    set_cookie(answer, the_site(request), SESSION, entered.secret.expose())
    return answer
