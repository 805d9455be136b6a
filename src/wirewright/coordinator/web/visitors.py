"""Who looks at the page: the session behind a cookie, and what its user may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from fastapi import Depends, Request

from wirewright.coordinator.api.dependencies import Store, origin
from wirewright.coordinator.errors import UnauthorizedError
from wirewright.coordinator.login import sessions
from wirewright.coordinator.login.sessions import Browser, Visitor
from wirewright.coordinator.web.cookies import SESSION, cookie
from wirewright.coordinator.web.problems import AwayError

if TYPE_CHECKING:
    from wirewright.coordinator.web.site import Site


def the_site(request: Request) -> Site:
    """Return where the page is served."""
    site: Site = request.app.state.site
    return site


async def perhaps_visitor(request: Request, store: Store) -> Visitor | None:
    """Return who is logged in, if somebody is."""
    text = cookie(the_site(request), SESSION, request.cookies)
    if text is None:
        return None
    try:
        visitor = await sessions.visit(store, text, origin(request))
    except UnauthorizedError:
        return None
    request.state.visitor = visitor
    return visitor


async def the_visitor(
    request: Request, visitor: Annotated[Visitor | None, Depends(perhaps_visitor)]
) -> Visitor:
    """Return who is logged in, or send them to do so and back here."""
    if visitor is not None:
        return visitor
    if request.method == "GET":
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        raise AwayError("/login" if here == "/" else f"/login?next={quote(here, safe='')}")
    raise AwayError("/login")


Perhaps = Annotated[Visitor | None, Depends(perhaps_visitor)]
Visiting = Annotated[Visitor, Depends(the_visitor)]


async def the_fresh_visitor(store: Store, visitor: Visiting) -> Visitor:
    """Return who has logged in lately: whoever finds a browser open is not given another way in."""
    sessions.require_fresh(visitor.session, store.clock())
    return visitor


Fresh = Annotated[Visitor, Depends(the_fresh_visitor)]


def local_path(text: str | None) -> str:
    """Return where to go after a login: a path of this site, never another site."""
    is_path = text is not None and text.startswith("/") and not text.startswith(("//", "/\\"))
    return text if is_path and text is not None and text.isprintable() and "\\" not in text else "/"


def root_url(request: Request) -> str:
    """Return where others find the page, for links that leave it."""
    return the_site(request).public_url or str(request.base_url).rstrip("/")


def browser_of(request: Request) -> Browser:
    """Return what a browser tells of itself."""
    return Browser(request.headers.get("user-agent", ""), origin(request))
