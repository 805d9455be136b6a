"""Who is refused something by the page is refused it by the API, and the other way round."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.coordinator.actors import key
from tests.coordinator.visiting import PASSWORD

from .browser import NEW, ROOT, address, changes, filled, routes

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from .conftest import Open
    from .house import House

pytestmark = pytest.mark.anyio

REFUSED = {401, 403, 404}
ROLES = ("admin", "operator", "member")
NONE: dict[str, Any] = {}


def same_in_the_api(house: House, who: str) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """What each change of the page is in the API: method, path and body."""
    ids, me = house.ids, house.actors.users[who]
    device, user, gateway = (
        f"/devices/{ids['device']}",
        f"/users/{ids['user']}",
        f"/gateways/{ids['gateway']}",
    )
    ends = datetime(2024, 10, 20, tzinfo=UTC).isoformat()
    foreign = {"name": "old", "public_key": key(), "addresses": ["10.88.7.7"]}
    new = {"name": "lamp", "public_key": key(), "gateway": "office"}
    rule = {"destinations": ["192.0.2.0/24"], "protocol": "tcp", "ports": ["80"]}
    return {
        "/account/identities/remove": ("DELETE", f"/users/{me}/identities", NONE),
        "/account/keys": (
            "POST",
            "/tokens",
            {"name": "script", "scopes": ["devices:read"], "expires_at": ends},
        ),
        "/account/keys/{token}/remove": ("DELETE", f"/tokens/{ids['token']}", NONE),
        "/account/passkeys/{passkey}/remove": ("DELETE", f"/passkeys/{ids['passkey']}", NONE),
        "/account/password": ("PUT", f"/users/{me}/password", {"password": NEW, "current": PASSWORD}),
        "/account/sessions/{session}/end": ("DELETE", f"/sessions/{ids['session']}", NONE),
        "/devices": ("POST", "/devices", new),
        "/devices/bulk": ("POST", "/devices/bulk", {"devices": [ids["device"]], "action": "remove"}),
        "/devices/{device}/configuration": ("POST", f"{device}/configuration/taken", NONE),
        "/devices/{device}/disable": ("POST", f"{device}/disable", NONE),
        "/devices/{device}/enable": ("POST", f"/devices/{ids['off']}/enable", NONE),
        "/devices/{device}/expiry": ("PATCH", device, {"expires_at": ends}),
        "/devices/{device}/key": ("PUT", f"{device}/key", {"public_key": key()}),
        "/devices/{device}/name": ("PATCH", device, {"name": "another"}),
        "/devices/{device}/policy": ("PATCH", device, {"policy": [rule]}),
        "/devices/{device}/remove": ("DELETE", device, NONE),
        "/gateways": ("POST", "/gateways", {"name": "berlin", "endpoint": "berlin.example:51820"}),
        "/gateways/{gateway}/credential": ("POST", f"{gateway}/credential", NONE),
        "/gateways/{gateway}/pools": (
            "POST",
            "/pools",
            {"gateway": ids["gateway"], "network": "10.99.0.0/24"},
        ),
        "/gateways/{gateway}/remove": ("DELETE", f"/gateways/{ids['spare']}", NONE),
        "/gateways/{gateway}/settings": ("PATCH", gateway, {"endpoint": "new.example:1"}),
        "/import": ("POST", "/devices/import", {"devices": [foreign], "gateway": "office"}),
        "/invitations": ("POST", "/invitations", {"name": "D", "gateway": ids["gateway"]}),
        "/invitations/{invitation}/remove": ("DELETE", f"/invitations/{ids['invitation']}", NONE),
        "/pools/{pool}/remove": ("DELETE", f"/pools/{ids['pool']}", NONE),
        "/users": ("POST", "/users", {"name": "fritz", "role": "member"}),
        "/users/{user}/disable": ("PATCH", user, {"enabled": False}),
        "/users/{user}/enable": ("PATCH", f"/users/{ids['gone']}", {"enabled": True}),
        "/users/{user}/identities/remove": ("DELETE", f"/users/{ids['admin']}/identities", NONE),
        "/users/{user}/keys/{token}/remove": ("DELETE", f"/tokens/{ids['token']}", NONE),
        "/users/{user}/passkeys/{passkey}/remove": ("DELETE", f"/passkeys/{ids['passkey']}", NONE),
        "/users/{user}/password": ("PUT", f"{user}/password", {"password": NEW}),
        "/users/{user}/remove": ("DELETE", f"/users/{ids['gone']}", NONE),
        "/users/{user}/role": ("PATCH", user, {"role": "operator"}),
        "/users/{user}/second-factor/remove": ("DELETE", f"/users/{ids['other']}/second-factor", NONE),
        "/users/{user}/sessions/{session}/end": ("DELETE", f"/sessions/{ids['session']}", NONE),
    }


ONES_OWN = {
    "/account/identities",
    "/account/passkeys",
    "/account/passkeys/begin",
    "/account/second-factor",
    "/account/second-factor/confirm",
    "/account/second-factor/remove",
    "/login",
    "/login/link",
    "/login/passkey",
    "/login/passkey/begin",
    "/login/second",
    "/logout",
    "/setup",
}
"""How one logs in by a browser oneself: nothing that needs a role."""

SEEN = {
    "/account": "/tokens",
    "/audit": "/audit",
    "/devices": "/devices/search",
    "/devices/{device}": "/devices/{device}",
    "/devices/{device}/configuration": "/devices/{device}/tunnel",
    "/gateways": "/gateways",
    "/gateways/{gateway}": "/gateways/{gateway}",
    "/invitations": "/invitations",
    "/users": "/users",
    "/users/{user}": "/users/{user}",
}
ASKED_FIRST = {
    "/account/identities/remove": "/account/identities/remove",
    "/account/keys/{token}/remove": "/account/keys/{token}/remove",
    "/account/passkeys/{passkey}/remove": "/account/passkeys/{passkey}/remove",
    "/devices/new": "/devices",
    "/devices/{device}/key": "/devices/{device}/key",
    "/devices/{device}/remove": "/devices/{device}/remove",
    "/gateways/new": "/gateways",
    "/gateways/{gateway}/credential": "/gateways/{gateway}/credential",
    "/gateways/{gateway}/remove": "/gateways/{gateway}/remove",
    "/import": "/import",
    "/invitations/new": "/invitations",
    "/invitations/{invitation}/remove": "/invitations/{invitation}/remove",
    "/pools/{pool}/remove": "/pools/{pool}/remove",
    "/settings": "/gateways",
    "/users/new": "/users",
    "/users/{user}/identities/remove": "/users/{user}/identities/remove",
    "/users/{user}/keys/{token}/remove": "/users/{user}/keys/{token}/remove",
    "/users/{user}/passkeys/{passkey}/remove": "/users/{user}/passkeys/{passkey}/remove",
    "/users/{user}/remove": "/users/{user}/remove",
    "/users/{user}/second-factor/remove": "/users/{user}/second-factor/remove",
}
"""Screens before a change: who may not make it does not see them."""
FOR_EVERYBODY = {
    "/",
    "/account/second-factor",
    "/favicon.ico",
    "/guide",
    "/join",
    "/live",
    "/login",
    "/login/link",
    "/login/oidc",
    "/login/oidc/callback",
    "/login/second",
    "/manifest.webmanifest",
    "/robots.txt",
    "/setup",
}


async def asked_of_the_api(page: Open, who: str, method: str, path: str, body: dict[str, Any]) -> int:
    """Ask the API as somebody; return the status."""
    transport = httpx2.ASGITransport(page.application)
    headers = page.house.actors.bearer(who)
    async with httpx2.AsyncClient(transport=transport, base_url=f"{ROOT}/api/v1", headers=headers) as api:
        answer = await api.request(method, path, json=body or None)
        assert answer.status_code != 422, (path, answer.text)
        return answer.status_code


@pytest.mark.parametrize("who", ROLES)
async def test_each_change_is_refused_by_both_or_by_neither(
    opening: Callable[[], AbstractAsyncContextManager[Open]], who: str
) -> None:
    async with opening() as page:
        told = list(changes(page.house))
        in_the_api = same_in_the_api(page.house, who)
    assert sorted({*in_the_api, *ONES_OWN}) == routes("POST")
    for path, where, fields in told:
        if path in ONES_OWN:
            continue
        async with opening() as page, page.browser(who) as browser:
            by_page = (await browser.submit(where, fields)).status_code
        async with opening() as page:
            by_api = await asked_of_the_api(page, who, *in_the_api[path])
        assert {by_page, by_api} <= REFUSED or max(by_page, by_api) < 400, (path, by_page, by_api)
        assert who != "admin" or by_page < 400, path


@pytest.mark.parametrize("who", ROLES)
async def test_each_screen_is_refused_where_the_api_does(page: Open, who: str) -> None:
    assert sorted({*SEEN, *ASKED_FIRST, *FOR_EVERYBODY}) == routes("GET")
    async with page.browser(who) as browser:
        for path, there in SEEN.items():
            by_page = (await browser.get(filled(path, page.house))).status_code
            by_api = await asked_of_the_api(page, who, "GET", filled(there, page.house), NONE)
            assert {by_page, by_api} <= REFUSED or by_page == by_api == 200, (path, by_page, by_api)


@pytest.mark.parametrize("who", ROLES)
async def test_a_screen_before_a_change_is_for_who_may_make_it(
    opening: Callable[[], AbstractAsyncContextManager[Open]], who: str
) -> None:
    async with opening() as page:
        told = {path: fields for path, _, fields in changes(page.house)}
    for path, change in ASKED_FIRST.items():
        async with opening() as page, page.browser(who) as browser:
            shown = (await browser.get(filled(path, page.house))).status_code
            made = (await browser.submit(address(change, page.house), told[change])).status_code
        assert {shown, made} <= REFUSED or max(shown, made) < 400, (path, shown, made)


async def test_the_cookie_of_a_session_is_nothing_to_the_api(page: Open) -> None:
    async with page.browser("admin") as browser:
        for headers in ({}, {"Authorization": f"Bearer {browser.visit}"}):
            answer = await browser.get("/api/v1/devices", headers=headers)
            assert answer.status_code == 401


async def test_the_token_of_the_api_is_nothing_to_the_page(page: Open) -> None:
    async with page.browser() as browser:
        answer = await browser.get("/devices", headers=page.house.actors.bearer("admin"))
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fdevices")


async def test_a_member_sees_nothing_of_what_others_have(page: Open) -> None:
    """Neither in a list, nor by its address, nor when they ask to remove it."""
    async with page.browser("member") as browser:
        device = page.house.ids["device"]
        asking = {"id": device, "action": "remove"}
        for answer in (
            await browser.get("/devices", params={"q": "device"}),
            await browser.get("/devices"),
            await browser.get(f"/devices/{device}"),
            await browser.get(f"/devices/{device}/remove"),
            await browser.get("/devices/new"),
            await browser.submit("/devices/bulk", asking),
        ):
            assert "device &lt;i&gt;" not in answer.text, answer.request.url
            assert "nadia" not in answer.text, answer.request.url
