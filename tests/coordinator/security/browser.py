"""A browser without scripts, which sends what it is told to; and each change that the page knows."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import httpx2
from fastapi.routing import APIRoute

from tests.coordinator.actors import key
from tests.coordinator.visiting import PASSWORD
from wirewright.coordinator.web.cookies import SESSION, VISIT
from wirewright.coordinator.web.forms import token_of
from wirewright.coordinator.web.screens import ROUTERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from .house import House

ROOT: Final = "https://vpn.example"
SECURE: Final = "__Host-"
FROM_HERE: Final = {"Sec-Fetch-Site": "same-origin"}
NEW: Final = "olive trumpet nine rivers"


class Browser(httpx2.AsyncClient):
    """Somebody at the page; ``visit`` is the value of their cookie."""

    visit: str = ""

    @classmethod
    def of(cls, application: FastAPI, cookie: str = "", *, broken_is_told: bool = False) -> Browser:
        """Begin with the cookie of a session, or with that of a visit of nobody."""
        name, value = (SESSION, cookie) if cookie else (VISIT, "a-visit-of-nobody")
        transport = httpx2.ASGITransport(application, raise_app_exceptions=not broken_is_told)
        opened = cls(transport=transport, base_url=ROOT, cookies={SECURE + name: value})
        opened.visit = value
        return opened

    async def submit(self, path: str, fields: Any = None, **headers: str) -> httpx2.Response:
        """Send a form as ours are sent, with the token of this visit."""
        given = {**FROM_HERE, "X-Form-Token": token_of(self.visit), **headers}
        if isinstance(fields, bytes):
            return await self.post(path, content=fields, headers=given)
        if "answer" in (fields or {}):
            return await self.post(path, json=fields, headers=given)
        return await self.post(path, data=fields or {}, headers=given)


def routes(method: str) -> list[str]:
    """The paths of all screens that take a method."""
    return sorted(
        route.path
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and method in (route.methods or ())
    )


def filled(path: str, house: House, **other: str) -> str:
    """A path with identifiers in it; ``other`` names those of another thing of the kind."""
    return re.sub(r"\{(\w+)\}", lambda match: house.ids[other.get(match[1], match[1])], path)


def address(path: str, house: House) -> str:
    """Where a change is sent: to something that it can be done to."""
    others = {
        "/devices/{device}/enable": {"device": "off"},
        "/users/{user}/enable": {"user": "gone"},
        "/users/{user}/remove": {"user": "gone"},
        "/users/{user}/identities/remove": {"user": "admin"},
        "/users/{user}/second-factor/remove": {"user": "other"},
        "/gateways/{gateway}/remove": {"gateway": "spare"},
    }
    return filled(path, house, **others.get(path, {}))


def fields(house: House) -> dict[str, dict[str, Any]]:
    """What each change of the page is sent with, by its path; a test holds it to be all of them."""
    passwords = {"now": PASSWORD, "password": NEW, "again": NEW}
    device = {"name": "lamp", "public_key": key(), "gateway": "office"}
    foreign = [{"name": "old", "public_key": key(), "addresses": ["10.88.7.7"]}]
    return {
        "/account/identities": {},
        "/account/identities/remove": {},
        "/account/keys": {"name": "script", "scope": "devices:read", "expires": "30d"},
        "/account/keys/{token}/remove": {},
        "/account/passkeys": {"answer": {}, "name": "stick"},
        "/account/passkeys/begin": {},
        "/account/passkeys/{passkey}/remove": {},
        "/account/password": passwords,
        "/account/second-factor": {},
        "/account/second-factor/confirm": {"code": house.code},
        "/account/second-factor/remove": {"now": PASSWORD},
        "/account/sessions/{session}/end": {},
        "/devices": device,
        "/devices/bulk": {"id": house.ids["device"], "action": "remove", "sure": "yes"},
        "/devices/{device}/configuration": {},
        "/devices/{device}/disable": {},
        "/devices/{device}/enable": {},
        "/devices/{device}/expiry": {"expires": "30d"},
        "/devices/{device}/key": {"public_key": key()},
        "/devices/{device}/name": {"name": "another"},
        "/devices/{device}/policy": {"policy": "192.0.2.0/24 tcp 80"},
        "/devices/{device}/remove": {},
        "/gateways": {"name": "berlin", "endpoint": "berlin.example:51820"},
        "/gateways/{gateway}/credential": {},
        "/gateways/{gateway}/pools": {"network": "10.99.0.0/24"},
        "/gateways/{gateway}/remove": {},
        "/gateways/{gateway}/settings": {"endpoint": "new.example:1", "dns": "10.88.0.1", "mtu": "1300"},
        "/import": {"devices": json.dumps(foreign), "gateway": "office"},
        "/invitations": {"name": "Dora", "uses": "1", "expires": "7d", "gateway": "office"},
        "/invitations/{invitation}/remove": {},
        "/login": {"name": "admin", "password": PASSWORD, "next": "/devices"},
        "/login/link": {"link": house.link},
        "/login/passkey": {"answer": {}, "next": "/"},
        "/login/passkey/begin": {},
        "/login/second": {"code": house.recovery, "next": "/"},
        "/logout": {},
        "/pools/{pool}/remove": {},
        "/setup": {"token": "wwf_x", "name": "eve", "password": NEW, "again": NEW},
        "/users": {"name": "fritz", "role": "member", "password": NEW},
        "/users/{user}/disable": {},
        "/users/{user}/enable": {},
        "/users/{user}/identities/remove": {},
        "/users/{user}/keys/{token}/remove": {},
        "/users/{user}/passkeys/{passkey}/remove": {},
        "/users/{user}/password": {"password": NEW},
        "/users/{user}/remove": {},
        "/users/{user}/role": {"role": "operator"},
        "/users/{user}/second-factor/remove": {},
        "/users/{user}/sessions/{session}/end": {},
    }


def changes(house: House) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each change: its route, where it is sent, and with what."""
    for path, values in fields(house).items():
        yield path, address(path, house), values
