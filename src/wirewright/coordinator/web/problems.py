"""What is refused, as a page: what was wrong, and what to do; for scripts of ours as ``problem+json``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from wirewright.coordinator.api import problems as api
from wirewright.coordinator.api.mistakes import in_a_line, mistakes
from wirewright.coordinator.errors import CoordinatorError
from wirewright.coordinator.web.rendering import render

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

_log = logging.getLogger(__name__)
_TITLES = {404: "There is no such page", 405: "This cannot be done so"}
_WORDS = {
    404: "The address leads nowhere. Perhaps what was there is removed.",
    405: "The address is there, but not for this kind of request.",
}


class AwayError(Exception):
    """The visitor is to go elsewhere first: to log in, say."""

    def __init__(self, to: str) -> None:
        super().__init__(to)
        self.to = to


def wants_json(request: Request) -> bool:
    """Whether a script of ours asks, which shows what it gets by itself."""
    return request.headers.get("accept", "").startswith("application/json")


def refusal(request: Request, status: int, title: str, text: str, kind: str = "refused") -> Response:
    """Return a refusal."""
    if wants_json(request):
        return api.problem(status, kind, title, text)
    if request.headers.get("hx-request"):
        return render(request, "notice.html", status, text=text)
    return render(request, "problem.html", status, title=title, text=text, status=status)


def timed(answer: Response, error: CoordinatorError | None) -> Response:
    """Return an answer that says when to come again, if what it tells of does."""
    if error is not None and error.retry_after is not None:
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer


def install(page: FastAPI) -> None:
    """Have the page tell its refusals so."""
    page.add_exception_handler(AwayError, _away)
    page.add_exception_handler(CoordinatorError, _refused)
    page.add_exception_handler(RequestValidationError, _unreadable)
    page.add_exception_handler(HTTPException, _of_http)
    page.add_exception_handler(Exception, _broken)


async def _away(request: Request, error: Exception) -> Response:
    assert isinstance(error, AwayError)
    if request.headers.get("hx-request"):
        return _told("HX-Redirect", error.to)
    if wants_json(request):
        return api.problem(401, "unauthorized", "You are not logged in", "Log in again, and repeat this.")
    return RedirectResponse(error.to, 303)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, CoordinatorError)
    return timed(refusal(request, error.status, error.title, str(error), error.kind), error)


async def _unreadable(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return refusal(request, 422, "A value cannot be used", in_a_line(mistakes(error.errors())), "invalid")


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    title, text = _TITLES.get(status, "The request was refused"), _WORDS.get(status, str(error.detail))
    answer = refusal(request, status, title, text)
    answer.headers.update(error.headers or {})
    return answer


async def _broken(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    text = "Something went wrong inside the coordinator; its log says more."
    return refusal(request, 500, "The coordinator failed", text, "internal")


def _told(name: str, value: str) -> Response:
    return Response(status_code=204, headers={name: value})
