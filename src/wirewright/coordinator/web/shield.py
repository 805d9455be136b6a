"""What each answer is held to, whichever screen it comes from, and also where none was asked.

- The ``Host`` header names this site, or nothing is answered (421): see `Site.knows`.
- The policy of contents (CSP) lets scripts, styles and connections come from here only, and none stand in the
  HTML; nobody frames the page; no address of ours is told to others (``Referrer-Policy``).
- Nothing is kept by caches but static files, whose addresses change with their contents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from wirewright.coordinator.web.site import Site

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "font-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_TWO_YEARS: Final = "max-age=63072000"


class Headers:
    """Middleware around everything, since refusals before the page, and failures in it, have them as well."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app, self._site = app, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
                if self._site.secure:
                    headers["Strict-Transport-Security"] = _TWO_YEARS
            await send(message)

        await self._app(scope, receive, shielded)


class Shield:
    """Middleware around the whole page, which answers to the names of this site only."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app, self._site = app, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) == 1 and self._site.knows(hosts[0]):
            await self._app(scope, receive, send)
        else:
            await _misdirected(hosts)(scope, receive, send)


def _misdirected(hosts: list[str]) -> PlainTextResponse:
    name = hosts[0][:100] if hosts else ""
    shown = name if name.isprintable() and name.isascii() else ""
    text = (
        f"This coordinator does not know itself as {shown or 'that'}. If it should, start it with\n"
        f"ww serve --public-url https://{shown or 'NAME'}\n"
    )
    return PlainTextResponse(text, 421)
