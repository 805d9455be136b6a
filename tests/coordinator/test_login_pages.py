"""The ways in through the page: links, passkeys, a provider; as a browser takes them, without its scripts."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from html import unescape
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from pwdlib.hashers.argon2 import Argon2Hasher

from tests.conftest import missing
from wirewright.coordinator import app
from wirewright.coordinator.clock import wall_clock
from wirewright.coordinator.login import links, oidc, passkeys, passwords, second_factor
from wirewright.coordinator.web import Site

from .authenticator import Authenticator
from .oidc import REMEDY, ROOT, logged_in_there, ours, provider
from .visiting import BROWSER, PASSWORD, give_second_factor, logged_in

if TYPE_CHECKING:
    from fastapi import FastAPI

    from wirewright.coordinator.storage import Storage

    from .actors import Actors, Clock

pytestmark = pytest.mark.anyio

FROM_HERE = {"Sec-Fetch-Site": "same-origin"}
COOKIE = "__Host-wirewright-session"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that take no time; `test_passwords` has the real ones."""
    hasher = Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", hasher)
    monkeypatch.setattr(passwords, "_NOBODYS", hasher.hash("nobody's"))


@pytest.fixture
def application(storage: Storage) -> FastAPI:
    return app.create(storage, site=Site(ROOT, secure=True))


@pytest.fixture
async def page(application: FastAPI) -> AsyncIterator[Page]:
    async with Page.of(application) as opened:
        yield opened


@pytest.fixture
async def another(application: FastAPI) -> AsyncIterator[Page]:
    """Another browser."""
    async with Page.of(application) as opened:
        yield opened


class Page(httpx2.AsyncClient):
    """A browser on the page, which keeps cookies and sends forms with their token."""

    @classmethod
    def of(cls, application: FastAPI) -> Page:
        return cls(transport=httpx2.ASGITransport(application), base_url=ROOT)

    async def token(self) -> str:
        """The token of this visit's forms."""
        found = re.search(r'name="form_token" value="([^"]+)"', (await self.get("/guide")).text) or re.search(
            r"X-Form-Token\": \"([^\"]+)\"", unescape((await self.get("/guide")).text)
        )
        assert found
        return found[1]

    async def submit(self, path: str, **fields: str) -> httpx2.Response:
        return await self.post(path, data={**fields, "form_token": await self.token()}, headers=FROM_HERE)

    async def ask(self, path: str, value: Any) -> httpx2.Response:
        headers = {**FROM_HERE, "X-Form-Token": await self.token(), "Accept": "application/json"}
        return await self.post(path, json=value, headers=headers)

    async def is_in(self) -> bool:
        return (await self.get("/account")).status_code == 200

    def take(self, cookie: str) -> None:
        self.cookies.set(COOKIE, cookie, domain="vpn.example", path="/")


async def test_a_link_is_opened_by_a_form_and_lets_its_user_choose_another_password(
    page: Page, another: Page, storage: Storage, actors: Actors
) -> None:
    hashed = await passwords.Passwords().hash(PASSWORD)
    await storage.write(passwords.keep_hash, actors.users["member"], hashed)
    await give_second_factor(storage, actors.users["member"])
    _, secret = await storage.write(links.make, "member")
    shown = await page.get("/login/link")
    assert (shown.status_code, await page.is_in()) == (200, False)
    assert (await page.submit("/login/link", link="wwl_" + "a" * 16 + "_" + "b" * 32)).status_code == 403
    assert (await page.get("/login/link", params={"link": secret.expose()})).status_code == 200
    assert not await page.is_in()
    entered = await page.submit("/login/link", link=secret.expose())
    assert (entered.status_code, entered.headers["location"]) == (303, "/account")
    assert "HttpOnly" in entered.headers["set-cookie"]
    assert await page.is_in()
    assert (await another.submit("/login/link", link=secret.expose())).status_code == 403
    # The password of before and the second factor are lost: neither is asked for.
    new = "another " + PASSWORD
    assert (await page.submit("/account/password", password=new, again=new)).status_code == 303
    assert (await page.submit("/account/second-factor/remove")).status_code == 303
    assert not await storage.read(second_factor.is_wanted, actors.users["member"])
    assert (await another.submit("/login", name="member", password=new)).status_code == 303
    assert await another.is_in()
    # Who came by the password shows it, before they choose another.
    refused = await another.submit("/account/password", now="x", password=PASSWORD, again=PASSWORD)
    assert refused.status_code == 401
    assert "not your password" in unescape(refused.text)
    done = await another.submit("/account/password", now=new, password=PASSWORD, again=PASSWORD)
    assert done.status_code == 303


async def test_a_passkey_is_added_used_and_removed(
    page: Page, another: Page, storage: Storage, actors: Actors
) -> None:
    page.take(await logged_in(storage, actors.users["member"]))
    made = Authenticator(origin=ROOT)
    assert (await another.ask("/account/passkeys/begin", {})).status_code == 401
    options = (await page.ask("/account/passkeys/begin", {})).json()
    added = await page.ask("/account/passkeys", {"name": "a <phone>", "answer": made.create(options)})
    assert (added.status_code, added.json()) == (201, {"to": "/account"})
    assert "a &lt;phone&gt;" in (await page.get("/account")).text
    assert "Use a passkey" in (await another.get("/login")).text
    asked = (await another.ask("/login/passkey/begin", {})).json()
    body = {"answer": made.get(asked), "next": "https://evil.example/"}
    entered = await another.ask("/login/passkey", body)
    assert (entered.status_code, entered.json()) == (200, {"to": "/"})
    assert await another.is_in()
    again = await another.ask("/login/passkey", body)
    assert (again.status_code, again.json()["type"]) == (401, "urn:wirewright:problem:wrong")
    malformed: tuple[object, ...] = ({}, {"answer": 7}, {"answer": {}}, {"answer": {"response": []}})
    for broken in malformed:
        assert (await another.ask("/login/passkey", broken)).status_code in {401, 422}
    kept = (await storage.read(passkeys.listed, actors.users["member"]))[0]
    assert (await page.submit(f"/account/passkeys/{kept.id}/remove")).status_code == 303
    assert (await page.is_in(), await another.is_in()) == (True, False)


async def test_nothing_of_it_is_done_from_another_site(page: Page, storage: Storage, actors: Actors) -> None:
    page.take(await logged_in(storage, actors.users["member"]))
    _, secret = await storage.write(links.make, "admin")
    token = await page.token()
    for path, fields in (
        ("/login/link", {"link": secret.expose()}),
        ("/account/passkeys/begin", {}),
        ("/account/identities", {}),
        ("/account/identities/remove", {}),
        ("/login/passkey/begin", {}),
    ):
        for headers, given in (
            ({"Sec-Fetch-Site": "cross-site"}, token),
            ({"Origin": "https://evil.example"}, token),
            (FROM_HERE, ""),
            (FROM_HERE, "0" * 64),
        ):
            answer = await page.post(path, data={**fields, "form_token": given}, headers=headers)
            assert answer.status_code == 403, path
    assert (await storage.write(links.redeem, secret.expose(), BROWSER)).is_whole


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with provider() as found:
        if found is None:
            missing("oidc-provider", REMEDY)
        yield found


async def test_somebody_logs_in_at_a_provider_and_adds_it_to_an_account(
    page: Page,
    another: Page,
    application: FastAPI,
    storage: Storage,
    actors: Actors,
    issuer: str,
    clock: Clock,
) -> None:
    clock.now = wall_clock()
    await storage.write(passwords.keep_hash, actors.users["admin"], "so that it is set up")
    assert (await page.get("/login/oidc")).status_code == 404
    application.state.coordinator.provider = ours(issuer, name="Office <ID>")
    assert "Log in with Office &lt;ID&gt;" in (await page.get("/login")).text
    left = await page.get("/login/oidc", params={"next": "//evil.example"})
    assert (left.status_code, left.headers["location"].startswith(issuer)) == (303, True)
    answer = await logged_in_there(left.headers["location"], "anna")
    # In another browser the same address logs nobody in.
    await another.get("/login")
    assert (await another.get(oidc.CALLBACK, params=answer)).status_code == 401
    assert not await another.is_in()
    left = await page.get("/login/oidc", params={"next": "//evil.example"})
    answer = await logged_in_there(left.headers["location"], "anna")
    entered = await page.get(oidc.CALLBACK, params=answer)
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert "anna" in (await page.get("/account")).text
    # What one is there is added by a form and a link.
    another.take(await logged_in(storage, actors.users["operator"]))
    assert (await another.get("/login/oidc")).headers["location"] == "/"
    link = re.search(
        r'class="button main" href="([^"]+)"', (await another.submit("/account/identities")).text
    )
    assert link
    answer = await logged_in_there(unescape(link[1]), "foreign")
    added = await another.get(oidc.CALLBACK, params=answer)
    assert (added.status_code, added.headers["location"]) == (303, "/account")
    assert [each.subject for each in await storage.read(oidc.listed, actors.users["operator"])] == ["foreign"]
    assert (await another.submit("/account/identities/remove")).status_code == 303
    assert await storage.read(oidc.listed, actors.users["operator"]) == []
    # What the provider refuses, or somebody makes up, is told on the page of the login.
    for made_up in ({}, {"state": "<script>", "error": "<script>"}, {"code": "x", "state": "y" * 43}):
        async with Page.of(application) as third:
            await third.get("/login")
            refused = await third.get(oidc.CALLBACK, params=made_up)
            assert (refused.status_code, "<script>" in refused.text.split("<main")[1]) == (401, False)
