"""Every refusal as ``application/problem+json`` (RFC 9457)."""

import logging
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from wirewright.coordinator.api.mistakes import in_a_line, mistakes
from wirewright.coordinator.api.models import Problem
from wirewright.coordinator.errors import CoordinatorError, NotFreeError

_log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"


def problem(
    status: int, kind: str, title: str, detail: str, headers: dict[str, str] | None = None, **more: object
) -> JSONResponse:
    """Return a refusal."""
    content = {"type": f"urn:wirewright:problem:{kind}", "title": title, "status": status, "detail": detail}
    return JSONResponse({**content, **more}, status, headers, media_type=MEDIA_TYPE)


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Say in the OpenAPI which refusals an operation has, besides those that each has."""
    content = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    described = {status: {"description": "Refused", "content": content} for status in (*_ALWAYS, *statuses)}
    return dict(sorted(described.items()))


_ALWAYS: Final = (400, 401, 403, 408, 413, 422, 503, 507)


def install(app: FastAPI) -> None:
    """Have the application tell all its refusals so; `failed` is for a middleware around it."""
    app.add_exception_handler(CoordinatorError, _refused)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _of_http)


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CoordinatorError)
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    more = {"addresses": [str(each) for each in error.addresses]} if isinstance(error, NotFreeError) else {}
    return problem(error.status, error.kind, error.title, str(error), headers, **more)


async def _unreadable(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = mistakes(error.errors())
    return problem(422, "invalid", "The request cannot be understood", in_a_line(found), errors=found)


async def _of_http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kinds = {404: "not-found", 405: "method-not-allowed", 400: "bad-request"}
    kind = kinds.get(error.status_code, "refused")
    return problem(
        error.status_code, kind, "The request was refused", str(error.detail), dict(error.headers or {})
    )


async def failed(request: Request, error: Exception) -> JSONResponse:
    """Tell what is a mistake of ours; only the log says which."""
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    detail = "Something went wrong inside the coordinator; its log says more."
    return problem(500, "internal", "The coordinator failed", detail)
