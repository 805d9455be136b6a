"""Each change of the page: from our own form, by who may, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wirewright.coordinator.web.cookies import SESSION, VISIT
from wirewright.coordinator.web.forms import token_of

from .browser import FROM_HERE, ROOT, SECURE, address, changes, fields, routes
from .house import everything

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from .conftest import Open

pytestmark = pytest.mark.anyio

WITHOUT_LOGIN = {
    "/setup",
    "/login",
    "/login/second",
    "/login/link",
    "/login/passkey",
    "/login/passkey/begin",
}
WHO = {"/account/second-factor/confirm": "operator", "/account/second-factor/remove": "other"} | {
    "/login/second": "half",
    "/login": "",
    "/login/link": "",
    "/login/passkey/begin": "",
}
"""Who can do it, where that is not the admin."""
ELSEWHERE = {"/setup", "/account/identities", "/account/passkeys", "/login/passkey"}
"""What cannot be done here: it takes the first start, a provider, or a passkey."""
ONES_OWN = {
    "/account/identities/remove",
    "/account/keys",
    "/account/passkeys/begin",
    "/account/password",
    "/account/second-factor",
    "/devices",
    "/logout",
}
"""What a member does, too, with what is their own."""
FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "cross-site", "Origin": ROOT},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "https://vpn.example.evil.example"},
    {"Origin": "https://vpn.example:8443"},
    {},
]


async def test_each_change_of_the_page_is_tried_here(page: Open) -> None:
    assert sorted(fields(page.house)) == routes("POST")
    assert routes("PUT") == routes("PATCH") == routes("DELETE") == []


async def test_each_change_is_one(opening: Callable[[], AbstractAsyncContextManager[Open]]) -> None:
    """What is refused below would change something, if it were not."""
    async with opening() as page:
        everything_to_do = list(changes(page.house))
    for path, where, values in everything_to_do:
        if path in ELSEWHERE:
            continue
        async with opening() as page:
            before = await everything(page.storage)
            async with page.browser(WHO.get(path, "admin")) as browser:
                answer = await browser.submit(where, values)
            assert answer.status_code < 400, (path, answer.text)
            assert await everything(page.storage) != before, path


async def test_none_is_done_without_the_token_of_the_visit(page: Open) -> None:
    before = await everything(page.storage)
    others = token_of(page.house.cookies["operator"])
    async with page.browser("admin") as browser:
        for _, where, values in changes(page.house):
            for token in ("", others, token_of(""), token_of(browser.visit)[:-1], "\xe9"):
                sent = {**values, "form_token": token}
                answer = await browser.post(where, data=sent, headers=FROM_HERE)
                assert answer.status_code == 403, where
                answer = await browser.post(
                    where,
                    data=values,
                    headers=[(b"Sec-Fetch-Site", b"same-origin"), (b"X-Form-Token", token.encode("latin-1"))],
                )
                assert answer.status_code == 403, where
    assert await everything(page.storage) == before


async def test_none_is_done_from_another_site(page: Open) -> None:
    before = await everything(page.storage)
    async with page.browser("admin") as browser:
        token = token_of(browser.visit)
        for _, where, values in changes(page.house):
            for headers in FOREIGN:
                answer = await browser.post(where, data={**values, "form_token": token}, headers=headers)
                assert answer.status_code == 403, (where, headers)
                assert "from another site" in answer.text
    assert await everything(page.storage) == before


async def test_none_is_done_without_a_cookie_at_all(page: Open) -> None:
    before = await everything(page.storage)
    async with page.browser() as browser:
        browser.cookies.clear()
        for _, where, values in changes(page.house):
            answer = await browser.post(where, data={**values, "form_token": token_of("")}, headers=FROM_HERE)
            assert answer.status_code == 403, where
            browser.cookies.clear()
    assert await everything(page.storage) == before


@pytest.mark.parametrize("who", ["nobody", "half", "made up"])
async def test_none_is_done_by_who_is_not_logged_in(page: Open, who: str) -> None:
    before = await everything(page.storage)
    async with page.browser("half" if who == "half" else "") as browser:
        if who == "made up":
            browser.visit = "wws_" + "A" * 43
            browser.cookies.set(SECURE + SESSION, browser.visit)
            browser.cookies.delete(SECURE + VISIT)
        for path, where, values in changes(page.house):
            if path in WITHOUT_LOGIN:
                continue
            answer = await browser.submit(where, values)
            assert (answer.status_code, answer.headers["location"]) == (303, "/login"), where
    assert await everything(page.storage) == before


async def test_none_is_done_by_a_member_to_what_is_not_theirs(page: Open) -> None:
    before = await everything(page.storage)
    async with page.browser("member") as browser:
        for path, where, values in changes(page.house):
            if path in WITHOUT_LOGIN | ONES_OWN:
                continue
            answer = await browser.submit(where, values)
            assert 400 <= answer.status_code < 500, (where, answer.status_code)
    assert await everything(page.storage) == before


async def test_none_is_done_by_another_method_than_post(page: Open) -> None:
    """To look at an address is what any site can have a browser do."""
    before = await everything(page.storage)
    shown = set(routes("GET"))
    async with page.browser("admin") as browser:
        for path, values in fields(page.house).items():
            where = address(path, page.house)
            query = {name: str(value) for name, value in values.items()}
            answer = await browser.get(where, params={**query, "_method": "POST"})
            if path not in shown:
                assert answer.status_code in (303, 404, 405, 422), (where, answer.status_code)
            headers = {**FROM_HERE, "X-Form-Token": token_of(browser.visit)}
            for method in ("HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "POSTX"):
                told = {**headers, "X-HTTP-Method-Override": "POST"}
                answer = await browser.request(method, where, headers=told)
                assert answer.status_code in (404, 405, 303), (method, where, answer.status_code)
    assert await everything(page.storage) == before
