"""Logging in, as somebody tries who may not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete

from tests.coordinator.visiting import PASSWORD
from wirewright.coordinator import app
from wirewright.coordinator.login import setup
from wirewright.coordinator.login.throttle import Throttle
from wirewright.coordinator.services import users
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.storage.logins import Identity, Passkey, Password, Session
from wirewright.coordinator.web import Site
from wirewright.coordinator.web.cookies import SESSION

from .browser import NEW, SECURE, Browser, routes
from .house import everything

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Storage, Transaction

    from .conftest import Open

pytestmark = pytest.mark.anyio

SETUP = {"name": "eve", "password": NEW, "again": NEW}


async def test_who_guesses_is_held_back_and_told_when_to_come_again(page: Open) -> None:
    async with page.browser() as nobody, page.browser("member") as member:
        for path, form in (
            ("/login", {"name": "admin", "password": "guess"}),
            ("/login/link", {"link": "wwl_guess"}),
            ("/setup", {"token": "wwf_guess", **SETUP}),
            ("/account/password", {"now": "guess", "password": NEW, "again": NEW}),
            ("/account/second-factor/remove", {"now": "guess"}),
        ):
            page.application.state.coordinator.throttle = Throttle()
            browser = member if path.startswith("/account") else nobody
            for _ in range(40):
                answer = await browser.submit(path, form)
                if answer.status_code == 429:
                    break
            assert answer.status_code == 429, path
            assert int(answer.headers["retry-after"]) > 0, path
            assert "come again in" in answer.text, path


async def test_codes_of_a_second_factor_are_guessed_seldom(page: Open) -> None:
    async with page.browser("half") as browser:
        told = [await browser.submit("/login/second", {"code": f"{n:06}"}) for n in range(10)]
    held = [answer for answer in told if answer.status_code == 429]
    assert held
    assert all(int(answer.headers["retry-after"]) > 0 for answer in held)
    assert not any(SECURE + SESSION in answer.headers.get("set-cookie", "") for answer in told)


async def test_a_name_of_nobody_is_told_the_same_as_a_wrong_password(page: Open) -> None:
    async with page.browser() as browser:
        told = []
        for name in ("admin", "nobody", "gone", "nadia"):
            answer = await browser.submit("/login", {"name": name, "password": "guess"})
            told.append(
                (answer.status_code, answer.text.replace(f'value="{name}"', ""), dict(answer.headers))
            )
        for _, _, headers in told:
            headers.pop("content-length")
        assert told[0] == told[1] == told[2] == told[3]
        assert told[0][0] == 401


async def test_a_half_session_sees_no_screen(page: Open) -> None:
    async with page.browser("half") as browser:
        for path in routes("GET"):
            if "{" in path or path.startswith("/login/oidc"):
                continue
            answer = await browser.get(path)
            if answer.status_code == 303:
                assert answer.headers["location"].startswith("/login"), path
            else:
                assert path in (
                    *("/favicon.ico", "/guide", "/join", "/login", "/login/link", "/login/second"),
                    *("/manifest.webmanifest", "/robots.txt"),
                ), path
                assert 'action="/logout"' not in answer.text, path


async def test_each_login_has_another_cookie_and_takes_none_from_before(page: Open) -> None:
    """Whoever set a cookie before knows none afterwards (session fixation)."""
    seen = set()
    for planted in ("", "planted", page.house.cookies["member"]):
        async with page.browser() as browser:
            if planted:
                browser.cookies.clear()
                browser.cookies.set(SECURE + SESSION, planted)
                browser.visit = planted
            answer = await browser.submit("/login", {"name": "admin", "password": PASSWORD})
            assert answer.status_code == 303
            seen.add(answer.cookies[SECURE + SESSION])
    assert len(seen) == 3
    assert not seen & {"planted", *page.house.cookies.values()}


async def test_a_session_that_became_whole_has_another_cookie_than_the_half_one(page: Open) -> None:
    async with page.browser("half") as browser:
        answer = await browser.submit("/login/second", {"code": page.house.recovery})
        assert answer.status_code == 303
        whole = answer.cookies[SECURE + SESSION]
        assert whole != page.house.cookies["half"]
    async with Browser.of(page.application, page.house.cookies["half"]) as browser:
        for path in ("/devices", "/login/second"):
            assert (await browser.get(path)).headers["location"].startswith("/login")


async def test_a_cookie_is_worth_nothing_after_a_logout(page: Open) -> None:
    async with page.browser("admin") as browser:
        assert (await browser.submit("/logout")).status_code == 303
    async with page.browser("admin") as browser:
        assert (await browser.get("/devices")).headers["location"].startswith("/login")


async def test_who_is_disabled_is_out_at_once_and_stays_out(page: Open) -> None:
    member = page.house.actors.users["member"]
    async with page.browser("member") as browser, page.browser("admin") as admin:
        assert (await browser.get("/devices")).status_code == 200
        assert (await admin.submit(f"/users/{member}/disable")).status_code == 303
        assert (await browser.get("/devices")).headers["location"].startswith("/login")
        await page.storage.write(users.update, SYSTEM, member, enabled=True)
        assert (await browser.get("/devices")).headers["location"].startswith("/login")


async def test_the_first_start_takes_its_token(page: Open) -> None:
    older, token = await _first_start(page.storage), await _first_start(page.storage)
    before = await everything(page.storage)
    async with page.browser() as browser:
        for wrong in ("", "wwf_guess", older, token[:-1], token.swapcase(), page.house.cookies["admin"]):
            answer = await browser.submit("/setup", {"token": wrong, **SETUP})
            assert answer.status_code == 403, wrong
            assert SECURE + SESSION not in answer.cookies
        assert await everything(page.storage) == before
        answer = await browser.submit("/setup", {"token": token, **SETUP})
        assert answer.headers["location"] == "/devices"
    async with page.browser() as browser:
        answer = await browser.submit("/setup", {"token": token, **SETUP, "name": "mallory"})
        assert answer.status_code == 409
        assert (await browser.get("/setup")).headers["location"] == "/login"


async def test_of_two_first_starts_at_once_one_becomes_the_administrator(page: Open) -> None:
    token = await _first_start(page.storage)
    async with page.browser() as one, page.browser() as two:
        answers = await asyncio.gather(
            one.submit("/setup", {"token": token, **SETUP}),
            two.submit("/setup", {"token": token, **SETUP, "name": "mallory"}),
        )
    assert sorted(answer.status_code for answer in answers) == [303, 409]


async def test_nothing_is_shown_before_the_first_start(page: Open) -> None:
    await _first_start(page.storage)
    async with page.browser() as browser:
        for path in ("/", "/login"):
            assert (await browser.get(path)).headers["location"] == "/setup"
        assert (await browser.get("/devices")).headers["location"].startswith("/login")


async def test_a_page_over_plain_http_takes_no_cookie_of_the_other_name(page: Open) -> None:
    """A cookie without the prefix could have been set by a neighbour over plain HTTP."""
    async with page.browser() as browser:
        browser.cookies.set(SESSION, page.house.cookies["admin"])
        assert (await browser.get("/devices")).headers["location"].startswith("/login")
    plain = Browser.of(app.create(page.storage, site=Site()), page.house.cookies["admin"])
    async with plain as browser:
        assert (await browser.get("http://localhost/devices")).headers["location"].startswith("/login")


async def _first_start(storage: Storage) -> str:
    """Have nobody who can log in; return the token that the terminal shows."""

    async def work(tx: Transaction) -> str:
        for table in (Session, Password, Passkey, Identity):
            await tx.session.execute(delete(table))
        secret = await setup.renew(tx)
        assert secret is not None
        return secret.expose()

    return await storage.write(work)
