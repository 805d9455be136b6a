"""Whatever stands in a field is refused in words, or shown as what it is, and breaks nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.coordinator.actors import key
from tests.coordinator.visiting import PASSWORD
from wirewright.coordinator import app
from wirewright.coordinator.login.throttle import Throttle
from wirewright.coordinator.web import Site

from .browser import ROOT, Browser, changes, filled, routes
from .house import House
from .screen import Screen

if TYPE_CHECKING:
    import httpx2

    from wirewright.coordinator.storage import Storage

pytestmark = pytest.mark.anyio

NUL = "zz\x00\x00"
ODD = "\N{RIGHT-TO-LEFT OVERRIDE}zz\N{ZERO WIDTH SPACE}\N{LINE SEPARATOR}\ud7ff\ue000\U0010ffff"
NUMBER = "9" * 23
HOSTILE = (
    # Each shorter than names may be, so that it is looked at further.
    "<script>zz</script>\"'><img src=x onerror=zz>{{7777*7777}}",
    "' OR 1=1; DROP TABLE device; --../../%2e%2e/..\\",
    "zz\x1b[31m\x07\x7f\r\nSet-Cookie: wirewright-session=x\r\n\r\n",
    NUL,
    ODD,
    NUMBER,
    "",
)
AT_POSTGRESQL = (NUL, ODD, NUMBER)
"""What another database may take otherwise."""
LONG = "w" * 5000


def read(answer: httpx2.Response) -> None:
    """Hold an answer to be harmless."""
    assert answer.status_code < 500, (answer.request.url, answer.text)
    assert "Traceback" not in answer.text, answer.request.url
    assert "sqlalchemy" not in answer.text.lower(), answer.request.url
    assert b"\0" not in answer.content, answer.request.url
    for name, value in answer.headers.raw:
        assert not {b"\r", b"\n"} & {value[at : at + 1] for at in range(len(value))}, name
        # A cookie that an attacker chose.
        assert b"wirewright-session=x" not in value, name
    if answer.headers.get("content-type", "").startswith("text/html"):
        Screen(answer)
        assert "60481729" not in answer.text, answer.request.url


@pytest.fixture
async def open_page(storage: Storage) -> tuple[Any, House]:
    """The page on each of the two databases."""
    house = await House.furnish(storage)
    return app.create(storage, site=Site(ROOT, secure=True)), house


@pytest.fixture
def values(storage: Storage) -> tuple[str, ...]:
    """What is tried on a database."""
    return (*HOSTILE, LONG) if storage.url.is_sqlite else AT_POSTGRESQL


async def test_whatever_stands_in_a_field_breaks_nothing(
    open_page: tuple[Any, House], values: tuple[str, ...]
) -> None:
    application, house = open_page
    quiet = ("/logout", "/account/password", "/account/sessions", "/users/{user}/password")
    async with Browser.of(application, house.cookies["admin"]) as browser:
        for path, where, fields in changes(house):
            if path.startswith(quiet) or path.endswith("/remove"):
                continue
            for name in fields:
                for value in values:
                    answer = await browser.submit(where, {**fields, name: value})
                    read(answer)
        for path in routes("GET"):
            if path != "/live":
                read(await browser.get(filled(path, house)))
        assert (await browser.get("/devices")).status_code == 200


async def test_whatever_stands_in_an_address_breaks_nothing(
    open_page: tuple[Any, House], values: tuple[str, ...]
) -> None:
    application, house = open_page
    asked = {
        "/devices": ("q", "state", "sort", "page", "user", "gateway"),
        "/audit": ("after", "action", "subject"),
        "/devices/new": ("name",),
        "/gateways": ("after",),
        "/login": ("next",),
    }
    folders = sorted({path.split("{", 1)[0] for path in routes("GET") if "{" in path})
    async with Browser.of(application, house.cookies["admin"]) as browser:
        for value in values:
            for path, names in asked.items():
                for name in names:
                    read(await browser.get(path, params={name: value}))
            for folder in folders:
                answer = await browser.get(folder + quote(value, safe=""))
                read(answer)
                assert value == "" or answer.status_code in (400, 404, 422), (folder, value)


async def test_whatever_stands_in_a_login_breaks_nothing(
    open_page: tuple[Any, House], values: tuple[str, ...]
) -> None:
    application, house = open_page
    forms = {
        "/login": ("name", "password", "next"),
        "/login/second": ("code", "next"),
        "/login/link": ("link",),
        "/setup": ("token", "name", "password", "again"),
    }
    for path, names in forms.items():
        for name in names:
            for value in values:
                application.state.coordinator.throttle = Throttle()
                who = house.cookies["half"] if path == "/login/second" else ""
                async with Browser.of(application, who) as browser:
                    given = {**dict.fromkeys(names, "olive trumpet nine rivers"), name: value}
                    answer = await browser.submit(path, given)
                    read(answer)
                    assert answer.status_code in (303, 400, 401, 403, 409, 422), (path, name, value)


async def test_a_name_of_markup_is_shown_as_what_it_is(open_page: tuple[Any, House]) -> None:
    application, house = open_page
    name = "<b>\"'&{{7*7}}</b><script>alert(1)</script>"
    async with Browser.of(application, house.cookies["admin"]) as browser:
        here = f"/devices/{house.ids['device']}"
        assert (await browser.submit(f"{here}/name", {"name": name})).status_code == 303
        for path in ("/devices", here, f"{here}/key", f"{here}/remove", "/audit", f"{here}/configuration"):
            answer = await browser.get(path)
            read(answer)
            assert "&lt;b&gt;&#34;&#39;&amp;{{7*7}}&lt;/b&gt;&lt;script&gt;" in answer.text, path
            assert name not in answer.text
            assert "<b>" not in answer.text


async def test_what_a_browser_tells_of_itself_is_shown_as_what_it_is(open_page: tuple[Any, House]) -> None:
    application, _ = open_page
    async with Browser.of(application) as browser:
        agent = "<script>alert(1)</script>\"'>"
        form = {"name": "admin", "password": PASSWORD}
        entered = await browser.submit("/login", form, **{"User-Agent": agent})
        assert entered.status_code == 303
        answer = await browser.get("/account")
        read(answer)
        assert "&lt;script&gt;alert(1)" in answer.text


async def test_a_nul_breaks_nothing_of_the_api_either(open_page: tuple[Any, House]) -> None:
    application, house = open_page
    headers = house.actors.bearer("admin")
    device = {"name": "lamp", "public_key": key(), "gateway": NUL}
    async with Browser.of(application) as browser:
        found = await browser.get("/api/v1/devices/search", params={"q": NUL}, headers=headers)
        assert found.status_code in (200, 422)
        made = await browser.post("/api/v1/devices", json=device, headers=headers)
        assert made.status_code in (404, 422)
        foreign = {"devices": [{"name": NUL, "public_key": key()}], "gateway": NUL}
        brought = await browser.post("/api/v1/devices/import", json=foreign, headers=headers)
        assert brought.status_code in (404, 422)
