"""The page's cookies: of this site alone, unseen by scripts, and gone with the browser's window.

Browsers keep cookies for a host, whatever the port, so that a site's instance is part of their names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.responses import Response

    from wirewright.coordinator.web.site import Site

VISIT: Final = "wirewright-visit"
SESSION: Final = "wirewright-session"
SAID: Final = "wirewright-said"


def cookie(site: Site, name: str, cookies: dict[str, str]) -> str | None:
    """Return the value of one of our cookies."""
    value = cookies.get(site.cookie_name(name), "")
    return value if 0 < len(value) <= 200 else None


def set_cookie(answer: Response, site: Site, name: str, value: str | None) -> None:
    """Have the browser keep a cookie while it is open, or forget it (``None``).

    How long a session lasts is the database's to say.
    """
    answer.set_cookie(
        site.cookie_name(name),
        value or "",
        max_age=None if value else 0,
        path="/",
        secure=site.secure,
        httponly=True,
        samesite="lax",
    )
