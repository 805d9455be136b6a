"""What a change is answered with on the page: what was done, told once; or that a login is too old for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from wirewright.coordinator import app
from wirewright.coordinator.clock import MINUTE
from wirewright.coordinator.login.sessions import FRESH
from wirewright.coordinator.web import Site

from .oidc import ROOT
from .test_login_pages import Page, cheap
from .visiting import PASSWORD, give_password, logged_in

if TYPE_CHECKING:
    from fastapi import FastAPI

    from wirewright.coordinator.storage import Storage

    from .actors import Actors, Clock

pytestmark = pytest.mark.anyio
SAID = "__Host-wirewright-said"
WORDS = "The user is added."
TOO_OLD = "Your login is older than 15 minutes"
__all__ = ["cheap"]


@pytest.fixture
def application(storage: Storage) -> FastAPI:
    return app.create(storage, site=Site(ROOT, secure=True))


@pytest.fixture
async def page(application: FastAPI, storage: Storage, actors: Actors) -> AsyncIterator[Page]:
    """The admin's browser, just logged in."""
    async with Page.of(application) as opened:
        opened.take(await logged_in(storage, actors.users["admin"]))
        yield opened


async def test_what_was_done_is_told_on_the_next_page_and_on_no_other(page: Page) -> None:
    answer = await page.submit("/users", name="fritz", role="member")
    assert answer.status_code == 303
    assert WORDS in (await page.get(answer.headers["location"])).text
    assert WORDS not in (await page.get(answer.headers["location"])).text
    assert SAID not in page.cookies


async def test_what_was_refused_is_not_told_as_done(page: Page) -> None:
    answer = await page.submit("/users", name="", role="member")
    assert answer.status_code == 422
    assert SAID not in page.cookies


async def test_a_page_that_is_refused_leaves_what_is_to_be_told_to_the_next(page: Page) -> None:
    await page.submit("/users", name="fritz", role="member")
    assert (await page.get("/nowhere")).status_code == 404
    assert WORDS in (await page.get("/users")).text


@pytest.mark.parametrize(
    "text", ["<b>you won</b>", "user-added<b>", "nothing", "devices-brought.<b>", "devices-brought.1e9", "."]
)
async def test_nobody_has_the_page_say_what_they_like(page: Page, text: str) -> None:
    for cookies in ({SAID: text}, {}):
        page.cookies.update(cookies)
        answer = await page.get("/users", params={"said": text})
        assert answer.status_code == 200
        assert "<b>" not in answer.text
        assert "notice good" not in answer.text or "0 devices were brought along." in answer.text


async def test_many_and_one_are_told_in_their_own_words(page: Page) -> None:
    for text, words in (
        ("devices-remove.1", "One device is removed."),
        ("devices-remove.7", "7 devices are removed."),
    ):
        page.cookies.set(SAID, text, domain="vpn.example", path="/")
        assert words in (await page.get("/devices")).text


ADDING: dict[str, dict[str, Any]] = {
    "/account/second-factor": {},
    "/account/keys": {"name": "script", "scope": "devices:read"},
    "/account/passkeys/begin": {},
    "/account/passkeys": {"answer": {}, "name": "stick"},
    "/account/identities": {},
    # The admin of these tests has none yet.
    "/account/password": {"password": PASSWORD, "again": PASSWORD},
}


@pytest.mark.parametrize("path", ADDING)
async def test_another_way_in_is_given_to_who_has_logged_in_lately(
    page: Page, clock: Clock, storage: Storage, actors: Actors, path: str
) -> None:
    async def tried() -> str:
        if "answer" in ADDING[path]:
            return (await page.ask(path, ADDING[path])).text
        return (await page.submit(path, **ADDING[path])).text

    clock.now += FRESH
    assert TOO_OLD in await tried()
    assert TOO_OLD in (await page.get("/account")).text.replace("a quarter of an hour", "15 minutes")
    page.take(await logged_in(storage, actors.users["admin"]))
    clock.now += FRESH - MINUTE
    assert TOO_OLD not in await tried()


async def test_who_is_to_log_in_again_comes_back_to_their_account(
    page: Page, clock: Clock, storage: Storage, application: FastAPI, actors: Actors
) -> None:
    await give_password(storage, application.state.coordinator.passwords, actors.users["admin"])
    page.take(await logged_in(storage, actors.users["admin"]))
    clock.now += FRESH
    answer = await page.submit("/logout", next="/account")
    assert answer.headers["location"] == "/login?next=%2Faccount"
    answer = await page.submit("/login", name="admin", password=PASSWORD, next="/account")
    assert answer.headers["location"] == "/account"
    assert "Make a key" in (await page.get("/account")).text


async def test_to_log_out_leads_to_no_other_site(page: Page) -> None:
    answer = await page.submit("/logout", next="https://evil.example/")
    assert answer.headers["location"] == "/login"


async def test_an_administrator_gives_others_a_way_in_only_after_a_fresh_login(
    page: Page, clock: Clock, storage: Storage, actors: Actors
) -> None:
    other = f"/users/{actors.users['member']}"
    asked: dict[str, dict[str, str]] = {
        "/users": {"name": "eve", "role": "admin", "password": PASSWORD},
        f"{other}/password": {"password": PASSWORD},
        f"{other}/role": {"role": "admin"},
        f"{other}/second-factor/remove": {},
        "/account/second-factor/confirm": {"code": "123456"},
    }
    await page.submit("/account/second-factor")
    clock.now += FRESH
    for path, fields in asked.items():
        answer = await page.submit(path, **fields)
        assert (answer.status_code, TOO_OLD in answer.text) == (403, True), path
    assert TOO_OLD in (await page.get("/account/second-factor")).text
    page.take(await logged_in(storage, actors.users["admin"]))
    for path, fields in asked.items():
        assert TOO_OLD not in (await page.submit(path, **fields)).text, path


@pytest.mark.parametrize("path", ["password", "second-factor/remove"])
async def test_what_one_logs_in_with_is_changed_on_ones_account_only(
    page: Page, actors: Actors, path: str
) -> None:
    answer = await page.submit(f"/users/{actors.users['admin']}/{path}", password=PASSWORD)
    assert answer.status_code == 403
    assert "Your account" in answer.text
