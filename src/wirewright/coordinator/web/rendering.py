"""HTML from templates: escaped by default, with what every page needs at hand.

Templates get ``visitor`` (``None`` before a login), ``site``, ``form_token``, ``said``, ``static(path)``,
``integrity(path)`` and the filters of `wirewright.coordinator.web.words`. What is not given to a template is
an error, not an empty string.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

import wirewright
from wirewright.coordinator.web import saying, words
from wirewright.coordinator.web.integrity import STATIC, digest, integrity

if TYPE_CHECKING:
    from starlette.requests import Request


def render(request: Request, template: str, status: int = 200, /, **values: Any) -> HTMLResponse:  # noqa: ANN401
    """Return a page."""
    state = request.state
    text = (
        _environment()
        .get_template(template)
        .render(
            request=request,
            path=request.url.path,
            site=request.app.state.site,
            visitor=getattr(state, "visitor", None),
            form_token=getattr(state, "form_token", ""),
            said=saying.said(request) if status < 400 else None,
            **values,
        )
    )
    answer = HTMLResponse(text, status)
    if status < 400:
        saying.forget(request, answer)
    return answer


@cache
def fingerprint(path: str) -> str:
    """Return what tells a static file's contents from others', as part of its address."""
    return digest(path).hex()[:12]


def static(path: str) -> str:
    """Return the address of a static file, which changes with its contents so that caches may keep it."""
    return f"/static/{fingerprint_of_all()}/{path}"


@cache
def fingerprint_of_all() -> str:
    """Return what tells this set of static files from others.

    Scripts name each other by relative addresses, so that all have the same number in theirs.
    """
    found = sorted(path for path in STATIC.rglob("*") if path.is_file())
    contents = (f"{path.relative_to(STATIC)} {fingerprint(str(path.relative_to(STATIC)))}" for path in found)
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()[:12]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("wirewright.coordinator.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"static": static, "integrity": integrity, "version": wirewright.__version__}
    environment.filters |= words.FILTERS
    return environment
