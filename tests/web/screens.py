"""Every screen of the page with something in it, in each look: for pictures, and for axe."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyotp

from tests.conftest import missing
from tests.coordinator.oidc import REMEDY, provider
from wirewright.keys import SecretKey

from .serving import Served, serving

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


@contextmanager
def served_with_all(folder: Path) -> Iterator[Served]:
    """A coordinator with whatever screens there may be of one: a provider of identities, too."""
    with provider() as issuer:
        if issuer is None:
            missing("the provider of identities", REMEDY)
        there = ("--oidc-issuer", issuer, "--oidc-client-id", "public", "--oidc-name", "Office")
        with serving(folder, *there) as served:
            yield served


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
            await page.wait_for_selector("#notices .good:has-text('rules')")
            await page.select_option("#expires", "30d")
            await page.click("text=Move the expiry")
            await page.wait_for_selector("#notices .good:has-text('expiry')")
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
    await page.click("text=Remove …")
    yield "user-remove", page
    await visit.open("/invitations")
    await page.click("a:has-text('Take back')")
    yield "invitation-remove", page
    await visit.open("/devices")
    for name in ("nas", "printer"):
        await page.check(f"tr:has-text('{name}') input")
    await page.select_option("[name=action]", "remove")
    await page.click("button:has-text('Do it')")
    await page.wait_for_selector("text=This will be lost")
    yield "devices-remove", page
    await visit.open("/gateways")
    await page.click("td.name a")
    yield "gateway", page
    await page.click("text=Remove … >> nth=0")
    yield "pool-remove", page
    async for each in _import(visit):
        yield each
    async for each in _refused(visit):
        yield each
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
    await page.click("text=Done")
    await page.click("text=Make another …")
    yield "gateway-credential-again", page
    await page.click("text=Keep")
    await page.click("text=Remove …")
    yield "gateway-remove", page
    await visit.open("/account")
    await page.click("summary:has-text('Make a key')")
    yield "account-key-new", page
    await page.fill("#key-name", "script")
    await page.check("input[value='devices:read']")
    await page.click("button:has-text('Make the key')")
    await page.wait_for_selector("[data-part=text]")
    yield "key", page
    await visit.open("/account")
    await page.click("text=Remove …")
    yield "key-remove", page
    await visit.open("/account")
    await page.click("text=Add who you are at Office")
    await page.wait_for_selector("text=Go on to Office")
    yield "account-elsewhere", page
    await page.goto(link)
    await page.wait_for_selector("#name:visible")
    yield "join", page
    await page.fill("#name", "Dora's phone")
    await page.click("text=Make my tunnel")
    await page.wait_for_selector("#made-title")
    yield "joined", page
    # Whoever has it is not asked again whether they want to leave.
    await page.click("[data-part=copy]")


async def last_screens(visit: Visit) -> AsyncIterator[tuple[str, Page]]:
    """Take a second factor into use, log out, and go through what is shown before a login."""
    page = visit.page
    await visit.open("/account")
    await page.click("text=Add a second factor")
    await page.wait_for_selector("[data-part=qr] svg")
    yield "second-factor", page
    totp = pyotp.parse_uri(await page.locator("[data-part=text]").text_content() or "")
    assert isinstance(totp, pyotp.TOTP)
    await page.fill("#code", totp.now())
    await page.click("text=Use it from now on")
    await page.wait_for_selector("text=Keep these recovery codes")
    code = (await page.locator("[data-part=text]").inner_text()).split()[0]
    yield "recovery-codes", page
    await visit.open("/devices")
    await page.click("text=Log out")
    await page.wait_for_url("**/login")
    yield "login", page
    await visit.log_in(password="not the right one")
    await page.wait_for_selector("[role=alert]")
    yield "login-refused", page
    await visit.log_in()
    await page.wait_for_url("**/login/second*")
    yield "login-second", page
    await page.fill("#code", code)
    await page.click("main button")
    await page.wait_for_url("**/devices")
    await page.click("text=Log out")
    for name, path in (("login-link", "/login/link"), ("join-without-invitation", "/join")):
        await visit.open(path)
        yield name, page


async def _import(visit: Visit) -> AsyncIterator[tuple[str, Page]]:
    page = visit.page
    await visit.open("/import")
    clients = {
        name: {"name": name, "address": f"10.8.0.{number}", "publicKey": str(SecretKey.generate().public_key)}
        for number, name in enumerate(("Emil's phone", "Frida's tablet", "camera"), 2)
    }
    backup = json.dumps({"server": {}, "clients": clients}).encode()
    await page.set_input_files(
        "#file", {"name": "wg0.json", "mimeType": "application/json", "buffer": backup}
    )
    await page.wait_for_selector("[data-part=found] li")
    yield "import-read", page


async def _refused(visit: Visit) -> AsyncIterator[tuple[str, Page]]:
    page = visit.page
    await visit.open("/invitations/new")
    await page.fill("#name", "Dora")
    await page.click("summary")
    await page.fill("#policy", "192.0.2.0/24 tcp 80\nnonsense")
    await page.click("text=Make the link")
    await page.wait_for_selector("#notices .bad")
    yield "form-refused", page
