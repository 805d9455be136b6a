"""The page's application, and which requests are for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import FastAPI
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from wirewright.coordinator.api import health
from wirewright.coordinator.web import problems
from wirewright.coordinator.web.forms import Forms
from wirewright.coordinator.web.integrity import STATIC
from wirewright.coordinator.web.rendering import fingerprint_of_all
from wirewright.coordinator.web.screens import ROUTERS
from wirewright.coordinator.web.shield import Shield

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from wirewright.coordinator.web.site import Site

_API: Final = "/api/"


def install(app: FastAPI, site: Site) -> None:
    """Have an application serve the page wherever it has nothing else."""
    page = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    page.state.coordinator = app.state.coordinator
    page.state.site = site
    for router in ROUTERS:
        page.include_router(router)
    page.mount(f"/static/{fingerprint_of_all()}", _Kept(directory=STATIC))
    problems.install(page)
    page.add_middleware(Forms, site=site)
    page.add_middleware(Shield, site=site)
    routes = (*app.routes, *health.router.routes)
    own = frozenset(route.path for route in routes if isinstance(route, Route))
    app.add_middleware(_Elsewhere, page=page, own=own)


class _Elsewhere:
    """Middleware that hands over what is not the application's own: another's wrong method stays its own."""

    def __init__(self, app: ASGIApp, page: ASGIApp, own: frozenset[str]) -> None:
        self._app, self._page, self._own = app, page, own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        is_own = scope["type"] != "http" or scope["path"].startswith(_API) or scope["path"] in self._own
        await (self._app if is_own else self._page)(scope, receive, send)


class _Kept(StaticFiles):
    """Static files, which caches may keep: another contents has another address."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        """Return a file."""
        answer = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer
