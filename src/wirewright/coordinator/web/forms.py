"""Changes come from our own forms: nothing but GET and HEAD passes without the token of the visit.

# Theory

A form of another site can be sent here with the visitor's cookies (CSRF). Two things tell it from ours. The
browser says where it comes from: ``Sec-Fetch-Site``, or ``Origin`` where that is not sent. And our forms
carry a token that only who has the visit's cookie could compute: the HMAC of the cookie's value, so that
nothing is kept for it and it ends with the visit. Both must hold. This stands in front of all screens, so
that none can forget it.

A visit has a cookie before anybody logs in, since logging in, too, is a change: another site could log a
visitor in as somebody else. At each login the visit begins anew.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import Response

from wirewright.coordinator.errors import InvalidError
from wirewright.coordinator.web.cookies import SESSION, VISIT, cookie, set_cookie
from wirewright.coordinator.web.problems import refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from wirewright.coordinator.web.site import Site

FIELD: Final = "form_token"
HEADER: Final = "X-Form-Token"
_SAFE: Final = frozenset({"GET", "HEAD"})
_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"
_FIELDS: Final = 2000
"""Fields of a form, at most."""


def token_of(value: str) -> str:
    """Return the token of a visit whose cookie has this value."""
    return hmac.new(value.encode(), b"wirewright form", hashlib.sha256).hexdigest()


async def require_sent(request: Request, *names: str) -> None:
    """Raise `InvalidError` unless a form has these fields: an absent one would be taken for an empty one."""
    form = await request.form()
    absent = [name for name in names if name not in form]
    if absent:
        raise InvalidError(f"The form was sent without {', '.join(absent)}, so nothing was changed.")


class Forms:
    """Middleware that lets a change pass only from a form of ours, and begins visits."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app, self._site = app, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; ``scope["state"]["form_token"]`` is what its forms are to carry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        cookies = cookie_parser(headers.get("cookie", ""))
        visit = cookie(self._site, SESSION, cookies) or cookie(self._site, VISIT, cookies)
        begun = None if visit else secrets.token_urlsafe(24)
        scope.setdefault("state", {})["form_token"] = token_of(visit or begun or "")

        async def visiting(message: Message) -> None:
            if message["type"] == "http.response.start" and begun and _is_page(message):
                message["headers"] = [*message["headers"], *_kept(self._site, begun)]
            await send(message)

        is_safe = scope["method"] in _SAFE
        body = b"" if is_safe else await _body(receive)
        if _has_nul(scope["query_string"]) or _has_nul(body):
            # Nobody types one, and databases have no place for it.
            words = "A value has a NUL character in it. Leave it out."
            await refusal(Request(scope), 400, "A value cannot be used", words)(scope, receive, visiting)
            return
        if is_safe:
            await self._app(scope, receive, visiting)
            return
        if body and _kind(headers) not in (_FORM, _JSON):
            # It would be read as a form whose fields are all empty.
            words = f"What was sent is no form of this page. It takes {_FORM}."
            await refusal(Request(scope), 415, "This is no form", words)(scope, receive, visiting)
            return
        if body.count(b"&") >= _FIELDS and _kind(headers) == _FORM:
            words = f"A form has at most {_FIELDS} fields."
            await refusal(Request(scope), 413, "The form is too large", words)(scope, receive, visiting)
            return
        wrong = self._wrong(headers, visit, body)
        if wrong is not None:
            await refusal(Request(scope), 403, "This was not sent from here", wrong)(scope, receive, visiting)
            return
        await self._app(scope, _replay(body, receive), visiting)

    def _wrong(self, headers: Headers, visit: str | None, body: bytes) -> str | None:
        """Say what keeps a change from passing, if something does."""
        if not self._is_from_here(headers):
            return "It came from another site, so nothing was changed. Open this page and do it there."
        given = headers.get(HEADER) or _field(headers, body)
        if visit is None or not hmac.compare_digest(token_of(visit).encode(), given.encode()):
            return "This form is older than your visit; nothing was changed. Load it again, and repeat this."
        return None

    def _is_from_here(self, headers: Headers) -> bool:
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None and site != "same-origin":
            return False
        if origin is not None:
            # A proxy in front may put its own name for us into Host; what browsers see is the public URL.
            public = urlsplit(self._site.public_url or "").netloc
            return urlsplit(origin).netloc.lower() in {headers.get("host", "").lower(), public.lower()} - {""}
        return site is not None


def _kind(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _has_nul(text: bytes) -> bool:
    return b"\0" in text or b"%00" in text


def _field(headers: Headers, body: bytes) -> str:
    if _kind(headers) != _FORM:
        return ""
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=_FIELDS)
    except ValueError:
        return ""
    return fields.get(FIELD, [""])[0]


async def _body(receive: Receive) -> bytes:
    """Read a body, which is bounded already (`wirewright.coordinator.api.bodies`)."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    first = True

    async def replay() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


def _is_page(message: Message) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"text/html") for name, value in message["headers"]
    )


def _kept(site: Site, value: str) -> list[tuple[bytes, bytes]]:
    """Return the headers that have the browser keep a visit's cookie."""
    answer = Response()
    set_cookie(answer, site, VISIT, value)
    return [pair for pair in answer.raw_headers if pair[0] == b"set-cookie"]
