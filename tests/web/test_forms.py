"""Forms with a browser's scripts: refused ones keep what was typed, and one on its way says so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Browser, Dialog, Route, expect

from tests.cli.coordinating import Desk

from .visiting import Visit

if TYPE_CHECKING:
    from .serving import Served

pytestmark = pytest.mark.anyio
MOMENT = 1.5
"""Seconds in which a form that is not answered says so in words."""
NOTE = """() => new MutationObserver(() => {
    const button = document.querySelector("[aria-busy]");
    if (button) localStorage.busy = button.textContent;
    const bar = document.querySelector("#notices progress");
    if (bar) localStorage.words = bar.getAttribute("aria-label");
}).observe(document.body, { attributes: true, childList: true, subtree: true })"""
PRESS_TWICE = """words => {
    const button = [...document.querySelectorAll("main button")].find((each) => each.textContent === words);
    button.click();
    setTimeout(() => button.click(), 300);
}"""


async def test_a_refused_form_keeps_what_was_typed_and_says_what_was_wrong(
    served: Served, chromium: Browser, tmp_path: Path
) -> None:
    visit = await Visit.begin(chromium, served.url)
    page = visit.page
    await visit.set_up(served.setup)
    await visit.open("/invitations/new")
    await page.fill("#name", "Carla")
    await page.click("summary")
    await page.fill("#uses", "7")
    await page.fill("#policy", "192.0.2.0/24 tcp 80\nnonsense")
    await page.check("text=ask for their addresses themselves")
    await page.click("text=Make the link")
    await expect(page.locator("#notices .notice.bad")).to_contain_text("Line 2 of the rules: 'nonsense'")
    await expect(page.locator("#name")).to_have_value("Carla")
    await expect(page.locator("#uses")).to_have_value("7")
    await expect(page.locator("#policy")).to_have_value("192.0.2.0/24 tcp 80\nnonsense")
    await expect(page.locator("[name=on_lease]")).to_be_checked()
    await page.fill("#policy", "192.0.2.0/24 tcp 80")
    await page.click("text=Make the link")
    # What needs scripts works on a page that came in the place of another, too.
    await page.wait_for_selector("[data-part=qr] svg")
    assert await page.title() == "Invitation for Carla · Wirewright"
    [made] = Desk(tmp_path, served.state).json("invite", "list")["invitations"]
    assert (made["name"], made["uses"], made["on_lease"]) == ("Carla", 7, True)
    visit.errors = [each for each in visit.errors if "422" not in each]
    await visit.end()


@pytest.mark.parametrize(("action", "button"), [("name", "Rename"), ("disable", "Disable")])
async def test_a_form_on_its_way_says_so_and_is_sent_once(
    served: Served, chromium: Browser, action: str, button: str
) -> None:
    """Whether htmx sends it or the browser."""
    visit = await Visit.begin(chromium, served.url)
    page = visit.page
    await visit.set_up(served.setup)
    await visit.add_device("nas")
    await visit.done()
    await page.wait_for_selector("#about")
    go_on, arrived, sent = asyncio.Event(), asyncio.Event(), []

    async def hold(route: Route) -> None:
        sent.append(route.request.url)
        arrived.set()
        await go_on.wait()
        await route.continue_()

    await page.route(f"**/{action}", hold)
    # Playwright looks at no page that is being left: it notes by itself what it shows.
    await page.evaluate(NOTE)
    await page.evaluate(PRESS_TWICE, button)
    await asyncio.wait_for(arrived.wait(), 30)
    await asyncio.sleep(MOMENT)
    go_on.set()
    await expect(page.locator("#notices .notice.good")).to_be_visible()
    await expect(page.locator("[aria-busy]")).to_have_count(0)
    assert await page.evaluate("() => localStorage.busy") == button
    assert await page.evaluate("() => localStorage.words") == "This takes a moment …"
    assert len(sent) == 1, sent
    await visit.end()


async def test_what_is_answered_at_once_is_told_and_stays_told(served: Served, chromium: Browser) -> None:
    visit = await Visit.begin(chromium, served.url)
    page = visit.page
    await visit.set_up(served.setup)
    await visit.add_device("nas")
    await visit.done()
    await page.fill("#name", "storage")
    await page.click("text=Rename")
    told = page.locator("#notices .notice.good")
    await expect(told).to_have_text("The device has another name.")
    await asyncio.sleep(MOMENT)
    await expect(told).to_have_text("The device has another name.")
    await expect(page.locator("#notices progress")).to_have_count(0)
    await visit.end()


async def test_who_stays_where_they_were_can_go_on(served: Served, chromium: Browser) -> None:
    visit = await Visit.begin(chromium, served.url)
    page = visit.page
    await visit.set_up(served.setup)
    await visit.open("/devices/new")
    await page.fill("#name", "nas")
    await page.click("text=Add it")
    await page.wait_for_selector("#made-title")
    asked = asyncio.Event()

    async def stay(dialog: Dialog) -> None:
        await dialog.dismiss()
        asked.set()

    page.on("dialog", stay)
    await page.click("text=Log out", no_wait_after=True)
    await asyncio.wait_for(asked.wait(), 30)
    await expect(page.locator("[aria-busy]")).to_have_count(0)
    page.remove_listener("dialog", stay)
    await page.click("[data-part=copy]")
    await page.click("text=Log out")
    await page.wait_for_url("**/login")
    await visit.end()


async def test_who_is_cut_off_from_the_coordinator_is_told_and_loses_nothing(
    served: Served, chromium: Browser
) -> None:
    visit = await Visit.begin(chromium, served.url)
    page = visit.page
    await visit.set_up(served.setup)
    await visit.open("/gateways/new")
    await page.fill("#name", "berlin")
    await page.fill("#endpoint", "vpn.example.org:51820")
    await visit.context.set_offline(True)
    await page.click("button:has-text('Add')")
    await expect(page.locator("#notices .notice.bad")).to_contain_text("cannot be reached")
    await expect(page.locator("#endpoint")).to_have_value("vpn.example.org:51820")
    await expect(page.locator("[aria-busy]")).to_have_count(0)
    await visit.context.set_offline(False)
    await page.click("button:has-text('Add')")
    await page.wait_for_selector("[data-part=text]")
    visit.errors = [each for each in visit.errors if "ERR_INTERNET" not in each and "htmx:" not in each]
    await visit.end()


async def test_many_devices_are_given_another_expiry_together(served: Served, chromium: Browser) -> None:
    visit = await Visit.begin(chromium, served.url)
    page = visit.page
    await visit.set_up(served.setup)
    paths = []
    for name in ("nas", "printer", "camera"):
        paths.append((await visit.add_device(name))[0])
        await visit.done()
    await visit.open("/devices?q=a&sort=-name")
    await expect(page.locator("td.name")).to_contain_text(["nas", "camera"])
    await page.click("text=Choose all 2")
    await page.select_option("#action", label="in 30 days")
    await page.click("text=Do it (2)")
    await expect(page.locator("#notices .notice.good")).to_have_text("The expiry of 2 devices is moved.")
    # Where one was before.
    await expect(page).to_have_url(f"{served.url}/devices?q=a&sort=-name")
    for path, words in zip(paths, ("in 30 days", "never", "in 30 days"), strict=True):
        await visit.open(path)
        await expect(page.locator("dt:has-text('Expires') + dd")).to_have_text(words)
    await visit.end()


async def test_what_is_done_is_told_and_what_is_lost_is_asked_about_first(
    served: Served, chromium: Browser
) -> None:
    visit = await Visit.begin(chromium, served.url)
    page = visit.page
    await visit.set_up(served.setup)
    await visit.open("/account")
    await page.click("summary:has-text('Make a key')")
    await page.fill("#key-name", "script")
    await page.check("input[value='devices:read']")
    await page.click("button:has-text('Make the key')")
    await page.wait_for_selector("[data-part=text]")
    await visit.open("/account")
    await page.click("a:has-text('Remove … script')")
    await expect(page.locator("h1")).to_have_text("Remove the API key script?")
    await expect(page.locator("main li")).to_contain_text("devices:read")
    await page.click("text=Keep")
    await page.click("a:has-text('Remove … script')")
    await page.click("main button:has-text('Remove')")
    told = page.locator("#notices .notice.good")
    await expect(told).to_contain_text("The key is removed")
    await expect(page.locator("a:has-text('Remove … script')")).to_have_count(0)
    await page.reload()
    await expect(told).to_have_count(0)
    await visit.end()


async def test_what_is_removed_once_something_else_is_gone_says_so_first(
    served: Served, chromium: Browser
) -> None:
    visit = await Visit.begin(chromium, served.url)
    page = visit.page
    await visit.set_up(served.setup)
    await visit.open("/users/new")
    await page.fill("#name", "bert")
    await page.click("button:has-text('Add')")
    await page.wait_for_url("**/users/*-*")
    await visit.open("/devices/new")
    await page.fill("#name", "Bert's phone")
    await page.click("summary")
    await page.fill("#user", "bert")
    await page.click("text=Add it")
    await visit.taken()
    await visit.done()
    await page.wait_for_selector("#about")
    await visit.open("/users")
    await page.click("td.name a:has-text('bert')")
    await page.click("dd a:has-text('1')")
    await expect(page.locator("main")).to_contain_text("Devices of bert only.")
    await page.go_back()
    await page.click("a.danger:has-text('Remove …')")
    await expect(page.locator("main")).to_contain_text("bert has devices (1). Remove them first.")
    await expect(page.locator("main button")).to_have_count(0)
    await visit.end()
