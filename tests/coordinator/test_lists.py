"""Lists of the page: in order, a page at a time, with a way on and a way back, and without a script."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from wirewright.coordinator import app
from wirewright.coordinator.services import audit, devices, gateways, invitations, reports, users
from wirewright.coordinator.services.access import SYSTEM, Role
from wirewright.coordinator.services.devices import NewDevice
from wirewright.coordinator.services.gateways import NewGateway
from wirewright.coordinator.services.invitations import NewInvitation
from wirewright.coordinator.services.reports import DeviceReport
from wirewright.coordinator.web import Site, choices
from wirewright.coordinator.web.cookies import SESSION
from wirewright.coordinator.web.screens import audit as audit_screen
from wirewright.coordinator.web.screens import gateways as gateways_screen
from wirewright.coordinator.web.screens import invitations as invitations_screen
from wirewright.coordinator.web.screens import users as users_screen

from .actors import Actors, Clock, key
from .visiting import logged_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wirewright.coordinator.storage import Storage, Transaction

pytestmark = pytest.mark.anyio


class Page(httpx2.AsyncClient):
    """The page as the admin sees it, without scripts."""

    async def shown(self, address: str) -> str:
        answer = await self.get(address)
        assert answer.status_code == 200, address
        return answer.text


@pytest.fixture
async def page(storage: Storage, actors: Actors) -> AsyncIterator[Page]:
    cookie = await logged_in(storage, actors.users["admin"])
    transport = httpx2.ASGITransport(app.create(storage, site=Site()))
    root = "http://127.0.0.1"
    async with Page(transport=transport, base_url=root, headers={"Cookie": f"{SESSION}={cookie}"}) as opened:
        yield opened


def way(html: str, name: str) -> str | None:
    """Where a link of the list leads, relative to the list."""
    found = re.search(rf'<a class="button"(?: rel="\w+")? href="([^"]+)">{name}</a>', html)
    return unescape(found[1]) if found else None


LISTS: dict[str, tuple[Any, str, str]] = {
    "/audit?action=made.up": (audit_screen, "Older", "Newest"),
    "/invitations": (invitations_screen, "Older", "Newest"),
    "/users": (users_screen, "Next", "First page"),
    "/gateways": (gateways_screen, "Next", "First page"),
}


async def furnish(storage: Storage, clock: Clock, actors: Actors) -> list[str]:
    """Make seven of each kind; return their names, the oldest first."""
    names = [f"made-{number}" for number in range(7)]
    for name in names:
        clock.now += 1000
        await storage.write(invitations.create, SYSTEM, NewInvitation(name, actors.gateway))
        await storage.write(users.create, SYSTEM, name, Role.MEMBER)
        await storage.write(gateways.create, SYSTEM, NewGateway(name, "vpn.example:1"))

        async def note(tx: Transaction, name: str = name) -> None:
            audit.record(tx, SYSTEM, "made.up", "somebody", name=name)
            audit.record(tx, SYSTEM, "another", "somebody", name=name)

        await storage.write(note)
    return names


@pytest.mark.parametrize("where", LISTS)
async def test_a_list_is_gone_through_page_by_page_and_there_is_a_way_back(
    storage: Storage,
    actors: Actors,
    clock: Clock,
    page: Page,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    names = await furnish(storage, clock, actors)
    screen, on, back = LISTS[where]
    monkeypatch.setattr(screen, "_PAGE", 3)
    first = await page.shown(where)
    assert way(first, back) is None
    seen, html, pages = [], first, 1
    while (there := way(html, on)) is not None:
        seen += re.findall(r"made-\d", " ".join(rows(html)))
        html = await page.shown(where.partition("?")[0] + there)
        pages += 1
        # What else was asked for is asked for on each page.
        assert way(html, back) == where
    seen += re.findall(r"made-\d", " ".join(rows(html)))
    order = list(dict.fromkeys(seen))
    assert order == (names if on == "Next" else names[::-1])
    assert pages >= 3
    assert rows(await page.shown(way(html, back) or "")) == rows(first)


def rows(html: str) -> list[str]:
    return re.findall(r"<tr>\s*<td.*?</tr>", html, re.S)


@pytest.mark.parametrize("where", LISTS)
async def test_behind_the_end_of_a_list_there_is_a_way_back_too(page: Page, where: str) -> None:
    last = "0" if LISTS[where][1] == "Older" else "f"
    after = f"{last * 8}-{last * 4}-7{last * 3}-8{last * 3}-{last * 12}"
    joined = f"{where}{'&' if '?' in where else '?'}after={after}"
    assert way(await page.shown(joined), LISTS[where][2]) == where


async def test_a_list_of_one_page_has_no_way_anywhere(page: Page) -> None:
    for address, (_, on, back) in LISTS.items():
        html = await page.shown(address)
        assert (way(html, on), way(html, back)) == (None, None)


async def test_who_is_alone_on_the_last_page_is_not_called_the_only_user(
    storage: Storage, actors: Actors, clock: Clock, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users_screen, "_PAGE", 3)
    second = await page.shown("/users" + (way(await page.shown("/users"), "Next") or ""))
    assert len(rows(second)) == 1
    assert "only one" not in second


async def test_the_api_lists_invitations_as_before_the_oldest_first(
    storage: Storage, actors: Actors, clock: Clock, api: httpx2.AsyncClient
) -> None:
    names = await furnish(storage, clock, actors)
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        answer = (await api.get("/invitations", params={"limit": 2, **after})).json()
        found += [each["name"] for each in answer["items"]]
        if answer["next"] is None:
            break
        after = {"after": answer["next"]}
    assert found == names


async def test_devices_are_counted_that_match_and_not_only_those_shown(
    storage: Storage, actors: Actors, page: Page
) -> None:
    made = [
        (await storage.write(devices.create, SYSTEM, NewDevice(f"lamp {number}", key()))).device.id
        for number in range(52)
    ]
    await storage.write(devices.create, SYSTEM, NewDevice("phone", key()))
    now = storage.clock()
    seen = [DeviceReport(each, 1, 1, now, "192.0.2.1:5") for each in made[:51]]
    await storage.write(reports.record, actors.gateway, seen)
    html = await page.shown("/devices")
    assert counted(html) == ("51", "53")
    assert ">All devices (53)</option>" in html
    assert ">Offline (2)</option>" in html
    # On the second page, and whatever state is shown.
    assert counted(await page.shown("/devices?page=2")) == ("51", "53")
    html = await page.shown("/devices?q=lamp&state=offline")
    assert counted(html) == ("51", "52")
    assert ">Offline (1)</option>" in html
    assert counted(await page.shown("/devices?q=nothing")) == ("0", "0")


def counted(html: str) -> tuple[str, str]:
    found = re.search(
        r'<span data-count="online">(\d+)</span> of <span data-count="all">(\d+)</span> online', html
    )
    assert found is not None
    return found[1], found[2]


async def submitted(page: Page, where: str, **fields: str) -> httpx2.Response:
    """Send a form as the page's own are sent."""
    token = re.search(r'name="form_token" value="(\w+)"', await page.shown("/guide"))
    assert token is not None
    headers = {"Sec-Fetch-Site": "same-origin"}
    return await page.post(where, data={**fields, "form_token": token[1]}, headers=headers)


async def owner_of(storage: Storage, name: str) -> str | None:
    found = await storage.read(devices.listed, SYSTEM, None, 1, name=name)
    return found.items[0].device.user_id


async def test_an_owner_is_chosen_by_name_among_more_users_than_are_offered(
    storage: Storage, actors: Actors, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choices, "_MOST", 2)
    last = await storage.write(users.create, SYSTEM, "zoe", Role.MEMBER)
    form = await page.shown("/devices/new")
    assert re.findall(r'<option value="(\w+)">(?!\w)', form) == ["admin", "member"]
    for name, typed in (("one", "zoe"), ("two", f" {last.id} "), ("three", "")):
        made = await submitted(page, "/devices", name=name, public_key=key(), user=typed)
        assert made.status_code == 303
    assert await owner_of(storage, "one") == await owner_of(storage, "two") == last.id
    assert await owner_of(storage, "three") is None
    assert (await submitted(page, "/invitations", name="for zoe", user="zoe")).status_code == 201
    invited = await storage.read(invitations.listed, None, 1)
    assert invited.items[0].user_id == last.id


@pytest.mark.parametrize("typed", ["zo", "Zoe", "zoe x", "<b>", "0" * 64])
@pytest.mark.parametrize("where", ["/devices", "/invitations"])
async def test_an_owner_whom_nobody_knows_is_named_in_the_refusal(
    storage: Storage, actors: Actors, page: Page, where: str, typed: str
) -> None:
    await storage.write(users.create, SYSTEM, "zoe", Role.MEMBER)
    refused = await submitted(page, where, name="lamp", public_key=key(), user=typed)
    assert refused.status_code == 404
    assert f"There is no user called {typed!r}." in unescape(refused.text)
    assert (await storage.read(devices.listed, SYSTEM, None, 1)).items == []


async def test_a_member_does_not_learn_which_users_there_are(
    storage: Storage, actors: Actors, page: Page
) -> None:
    cookie = await logged_in(storage, actors.users["member"])
    page.headers["Cookie"] = f"{SESSION}={cookie}"
    answers = [
        await submitted(page, "/devices", name="lamp", public_key=key(), user=name)
        for name in ("admin", "nobody-at-all", actors.users["admin"])
    ]
    assert {answer.status_code for answer in answers} == {403}
    words = {re.sub(r"[0-9a-f]{64}", "", answer.text) for answer in answers}
    assert len(words) == 1
