"""Every screen of the page with something in it, in each look: for pictures, and for axe."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from playwright.async_api import Page

    from .visiting import Visit

Theme = Literal["light", "dark"]
EMPTY = {
    "devices-empty": "/devices",
    "invitations-empty": "/invitations",
    "audit": "/audit",
}
SCREENS = {
    "devices": "/devices",
    "devices-nothing-found": "/devices?q=nothing+like+this",
    "device-new": "/devices/new",
    "invitations": "/invitations",
    "invitation-new": "/invitations/new",
    "users": "/users",
    "user-new": "/users/new",
    "gateways": "/gateways",
    "gateway-new": "/gateways/new",
    "audit": "/audit",
    "settings": "/settings",
    "import": "/import",
    "account": "/account",
    "guide": "/guide",
    "no-such-page": "/nowhere",
}
BEFORE = {"login": "/login", "join-without-invitation": "/join"}


async def furnish(visit: Visit) -> tuple[str, str]:
    """Make devices, an invitation and users; return the path of a device, and its configuration."""
    page = visit.page
    first = ("", "")
    for name in ("Anna's phone", "Anna's laptop", "nas", "printer", "Bert's phone"):
        made = await visit.add_device(name)
        first = first if first[0] else made
        await visit.done()
        await page.wait_for_selector("#about")
        if name == "printer":
            await page.click("text=Disable")
        if name == "nas":
            await page.click("text=Change the rules")
            await page.fill("#policy", "192.0.2.0/24 tcp 80,443\n10.88.0.2/32")
            await page.click("text=Change them")
            await page.select_option("#expires", "30d")
            await page.click("text=Move the expiry")
    await visit.open("/invitations/new")
    await page.fill("#name", "Carla")
    await page.click("text=Make the link")
    await page.wait_for_selector("[data-part=qr] svg")
    await visit.open("/users/new")
    await page.fill("#name", "bert")
    await page.click("button:has-text('Add')")
    await page.wait_for_url("**/users/*-*")
    return first


async def screens(visit: Visit, device: str) -> AsyncIterator[tuple[str, Page]]:
    """Go through all screens; give the name of each while it is shown."""
    page = visit.page
    for name, path in SCREENS.items():
        await visit.open(path)
        yield name, page
    for name, path in (
        ("device", device),
        ("device-configuration", f"{device}/configuration"),
        ("device-key", f"{device}/key"),
        ("device-remove", f"{device}/remove"),
    ):
        await visit.open(path)
        yield name, page
    await visit.open("/users")
    await page.click("td.name a >> nth=-1")
    yield "user", page
    await visit.open("/gateways")
    await page.click("td.name a")
    yield "gateway", page
    await visit.open("/devices/new")
    await page.fill("#name", "tablet")
    await page.click("text=Add it")
    await page.wait_for_selector("#made-title")
    yield "device-made", page
    await visit.done()
    await visit.open("/invitations/new")
    await page.fill("#name", "Dora")
    await page.click("text=Make the link")
    await page.wait_for_selector("[data-part=qr] svg")
    yield "invitation-made", page
    link = await page.locator("[data-part=url]").inner_text()
    await visit.open("/gateways/new")
    await page.fill("#name", f"berlin{id(page) % 1000}")
    await page.fill("#endpoint", "vpn.example.org:51820")
    await page.click("button:has-text('Add')")
    await page.wait_for_selector("[data-part=text]")
    yield "gateway-credential", page
    await visit.open("/account")
    await page.click("summary:has-text('Make a key')")
    yield "account-key-new", page
    await page.fill("#key-name", "script")
    await page.check("input[value='devices:read']")
    await page.click("button:has-text('Make the key')")
    await page.wait_for_selector("[data-part=text]")
    yield "key", page
    await visit.open("/account")
    await page.click("text=Add a second factor")
    await page.wait_for_selector("[data-part=qr] svg")
    yield "second-factor", page
    await page.goto(link)
    await page.wait_for_selector("#name:visible")
    yield "join", page
    await page.fill("#name", "Dora's phone")
    await page.click("text=Make my tunnel")
    await page.wait_for_selector("#made-title")
    yield "joined", page
    # Whoever has it is not asked again whether they want to leave.
    await page.click("[data-part=copy]")
