"""Ways in that take a browser's scripts: a passkey, and the link of the machine's owner."""

from __future__ import annotations

import asyncio
import os
import subprocess
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, expect

from tests.cli.running import COMMAND

from .visiting import Visit

if TYPE_CHECKING:
    from .serving import Served

pytestmark = pytest.mark.anyio


async def test_a_passkey_is_made_on_the_account_and_logs_in_without_a_name(
    served: Served, chromium: Browser
) -> None:
    # Browsers have passkeys for names, and `localhost` is one.
    url = f"http://localhost:{urlsplit(served.url).port}"
    visit = await Visit.begin(chromium, url)
    page = visit.page
    devtools = await visit.context.new_cdp_session(page)
    await devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    await visit.set_up(served.setup.replace(served.url, url))
    await visit.open("/account")
    await page.fill("#passkey-name", "this laptop")
    await page.click("text=Add a passkey")
    await expect(page.locator("td.name", has_text="this laptop")).to_be_visible()
    await page.click("text=Log out")
    await page.wait_for_url("**/login")
    await page.click("text=Use a passkey")
    await page.wait_for_url("**/devices")
    await visit.open("/account")
    await expect(page.locator("tr", has_text="this laptop")).not_to_contain_text("never")
    # Whoever only has the device is not its user.
    unverified = {"authenticatorId": made["authenticatorId"], "isUserVerified": False}
    await devtools.send("WebAuthn.setUserVerified", unverified)
    await page.click("text=Log out")
    await page.wait_for_url("**/login")
    await page.click("text=Use a passkey")
    await expect(page.locator("#notices")).to_contain_text("No passkey was used")
    assert page.url.endswith("/login")
    await visit.end()


async def test_the_owners_link_logs_in_once_and_is_told_to_no_server_by_opening_it(
    served: Served, chromium: Browser
) -> None:
    visit = await Visit.begin(chromium, served.url)
    await visit.set_up(served.setup)
    await visit.end()
    command = [*COMMAND, "serve", "login-link", "anna"]
    environment = os.environ | {"WIREWRIGHT_STATE": str(served.state)}
    run = partial(subprocess.run, env=environment, capture_output=True, text=True, timeout=60, check=True)
    link = (await asyncio.to_thread(run, command)).stdout.strip()
    assert link.startswith(f"{served.url}/login/link#wwl_")
    visit = await Visit.begin(chromium, served.url)
    await visit.page.goto(link)
    secret = link.partition("#")[2]
    await expect(visit.page.locator("#link")).to_have_value(secret)
    assert secret not in visit.page.url
    assert not [sent for sent in visit.sent if secret in sent]
    await visit.page.click("main button:has-text('Log in')")
    await visit.page.wait_for_url("**/account")
    await expect(visit.page.locator("h1")).to_have_text("anna")
    await visit.end()
