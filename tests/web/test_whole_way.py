"""From the link in the terminal to a tunnel that works, and to its end, in a real browser."""

from __future__ import annotations

import asyncio
import io
import re
import time
from base64 import b64decode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
import zxingcpp
from PIL import Image
from playwright.async_api import Browser, expect

from wirewright import Config, Tunnel

from .visiting import PHONE, Visit

if TYPE_CHECKING:
    from .serving import Served

pytestmark = pytest.mark.anyio

GATEWAY = "10.88.0.1"
PATIENCE = 30


async def test_setup_device_client_firewall_disable_expiry_and_the_log_of_it(
    served: Served, chromium: Browser, tmp_path: Path
) -> None:
    visit = await Visit.begin(chromium, served.url)
    page = visit.page
    await visit.set_up(served.setup)
    await expect(page.locator("h2")).to_have_text("No device yet")

    device, text = await visit.add_device("Anna's laptop")
    config = Config.loads(text)
    assert str(config.peers[0].endpoint) == served.endpoint
    no_private_key_was_sent(visit, text)
    await visit.done()
    await expect(page.locator("[data-live=dot]")).to_have_attribute("data-state", "idle")

    await it_does_what_the_page_says(visit, device, config)
    assert device.startswith("/devices/")
    await visit.end()


async def it_does_what_the_page_says(visit: Visit, device: str, config: Config) -> None:
    """It is shown online, obeys a rule, is cut by disabling and by its expiry; the log tells of it all."""
    page = visit.page
    await visit.open(device)
    async with Tunnel(config) as tunnel:
        await tunnel.wait_for_handshake(timeout=PATIENCE)
        began = time.monotonic()
        await expect(page.locator("[data-live=dot]")).to_have_attribute("data-state", "online")
        # A page that is open already shows it within two seconds; a machine under load has more.
        assert time.monotonic() - began < 10
        assert await tunnel.ping(GATEWAY, timeout=PATIENCE) < PATIENCE
        await page.reload()
        await expect(page.locator("[data-live=endpoint]")).to_contain_text("127.0.0.1:")

        await page.click("text=Change the rules")
        await page.fill("#policy", f"{GATEWAY}/32 tcp 7000")
        await page.click("text=Change them")
        await expect(page.locator(".rules")).to_have_text(f"TCP to port 7000 of {GATEWAY}/32.")
        await until_silent(lambda: tunnel.ping(GATEWAY, timeout=1))
        await page.click("text=Change the rules")
        await page.fill("#policy", "anything")
        await page.click("text=Change them")
        await expect(page.locator(".rules")).to_contain_text("The internet and the gateway")
        await tunnel.ping(GATEWAY, timeout=PATIENCE)

        await page.click("text=Disable")
        await expect(page.locator("[data-live=dot]")).to_have_attribute("data-state", "off")
        await until_silent(lambda: tunnel.ping(GATEWAY, timeout=1))
        await page.click("text=Enable")
        await expect(page.locator("[data-live=dot]")).not_to_have_attribute("data-state", "off")

    # Anew, since a session from before is found to be worth nothing after a while only.
    async with Tunnel(config) as tunnel:
        assert await tunnel.ping(GATEWAY, timeout=PATIENCE) < PATIENCE
        await page.evaluate(EXPIRE_SOON)
        await page.click("text=Move the expiry")
        await expect(page.locator(".tag:visible")).to_have_text("expired", timeout=PATIENCE * 1000)
        await until_silent(lambda: tunnel.ping(GATEWAY, timeout=1))
    await visit.open("/audit")
    told = await page.locator("table").inner_text()
    for action in ("setup.complete", "device.update", "device.expire"):
        assert action in told, action
    for words in ("policy 10.88.0.1/32 tcp 7000", "enabled no", "enabled yes", "expires at 20"):
        assert words in told, words


async def test_the_audit_log_tells_each_step_of_the_whole_way(served: Served, chromium: Browser) -> None:
    visit = await Visit.begin(chromium, served.url)
    page = visit.page
    await visit.set_up(served.setup)
    device, _ = await visit.add_device("phone")

    await visit.open(device)
    await page.click("text=Change the rules")
    await page.fill("#policy", f"{GATEWAY}/32 tcp 7000")
    await page.click("text=Change them")
    await expect(page.locator("#notices .good")).to_contain_text("rules")
    await page.click("button:text-is('Disable')")
    await page.click("button:text-is('Enable')")
    await page.fill("#name", "tablet")
    await page.click("text=Rename")
    await expect(page.locator("h1")).to_have_text("tablet")

    await visit.open("/gateways")
    await page.click("td.name a")
    await page.fill("#mtu", "1300")
    await page.click("text=Change it")
    await expect(page.locator("#notices .good")).to_be_visible()
    await visit.open(device)
    await page.click("text=Show it, and take it.")
    await page.click("text=The device has it now")
    await expect(page.locator("dd:has-text('last downloaded')")).to_contain_text(
        "last downloaded revision 2, current 2"
    )

    await visit.open(f"{device}/key")
    await page.click("button:has-text('Make a new key')")
    await visit.taken()
    await visit.open(device)
    await page.evaluate(EXPIRE_SOON)
    await page.click("text=Move the expiry")
    await expect(page.locator(".tag:visible")).to_have_text("expired", timeout=PATIENCE * 1000)
    await page.click("text=Remove …")
    await page.click("main button.danger")
    await page.wait_for_url("**/devices")

    for name in ("Bert", "Carl"):
        await visit.open("/invitations/new")
        await page.fill("#name", name)
        await page.click("text=Make the link")
        link = await page.locator("[data-part=url]").inner_text()
        if name == "Bert":
            await taken_on_a_phone(chromium, served.url, link)
    await visit.open("/invitations")
    await page.click("text=Take back")
    await page.click("main button.danger")
    await page.wait_for_url("**/invitations")

    await page.click("text=Log out")
    await visit.log_in(password="not hers at all")
    await expect(page.locator("main")).to_contain_text("do not fit")
    await visit.log_in()
    await page.wait_for_url(f"{served.url}/devices")
    # The browser tells of the refusal as well.
    visit.errors.clear()

    await visit.open("/audit")
    rows = [" ".join(row.split()) for row in await page.locator("tbody tr").all_inner_texts()]
    # What made the first user and her rights is of one moment, in no order.
    first = next(number for number, row in enumerate(rows) if "device.create" in row)
    assert any("anna setup.complete name anna" in row for row in rows[first + 1 :])
    rows = rows[first::-1]
    expected = [
        ("anna", "device.create", "name phone"),
        ("anna", "device.update", f"policy {GATEWAY}/32 tcp 7000"),
        ("anna", "device.update", "enabled no"),
        ("anna", "device.update", "enabled yes"),
        ("anna", "device.update", "name tablet"),
        ("anna", "gateway.update", "mtu 1300"),
        ("anna", "device.configuration", "name tablet, revision 2"),
        ("anna", "device.key", "name tablet, public key "),
        ("anna", "device.update", "expires at 20"),
        ("coordinator", "device.expire", "name tablet"),
        ("anna", "device.delete", "name tablet"),
        ("anna", "invitation.create", "name Bert"),
        ("invitation", "device.enrol", "invitation Bert"),
        ("anna", "invitation.create", "name Carl"),
        ("anna", "invitation.delete", "name Carl"),
        ("anna", "session.end", ""),
        ("anna", "login.refused", "by password"),
        ("anna", "login", "by password"),
    ]
    for row, (who, what, detail) in zip(rows, expected, strict=True):
        told = row.split(what, 1)
        assert len(told) == 2, (row, what)
        assert who in told[0], row
        assert detail in told[1], row
    await visit.end()


async def taken_on_a_phone(chromium: Browser, url: str, link: str) -> None:
    phone = await Visit.begin(chromium, url, PHONE)
    await phone.page.goto(link)
    await phone.page.fill("#name:visible", "Bert's phone")
    await phone.page.click("text=Make my tunnel")
    await phone.page.wait_for_selector("#made-title")
    await phone.end()


# The choices of the page are no shorter than an hour; what it sends may be.
EXPIRE_SOON = "() => { const select = document.querySelector('#expires'); select.options[0].value = '1s'; }"


async def test_an_invitation_is_taken_on_a_phone_by_its_code(
    served: Served, chromium: Browser, tmp_path: Path
) -> None:
    """And whoever invited, too, has nothing but a phone."""
    visit = await Visit.begin(chromium, served.url, PHONE)
    await visit.set_up(served.setup)
    await visit.page.click("text=Invite somebody")
    await visit.page.fill("#name", "Bert")
    await visit.page.click("text=Make the link")
    link = await visit.page.locator("[data-part=url]").inner_text()
    assert scanned(await visit.page.locator(".qr").screenshot()) == link

    phone = await Visit.begin(chromium, served.url, PHONE)
    await phone.page.goto(link)
    await phone.page.fill("#name:visible", "Bert's phone")
    # It is not left in the address bar, for the next person to find.
    assert "wwi_" not in phone.page.url
    await phone.page.click("text=Make my tunnel")
    await phone.page.wait_for_selector("#made-title")
    text = scanned(await phone.page.locator(".qr").screenshot())
    no_private_key_was_sent(phone, text)
    await phone.page.click("[data-part=copy]")
    await phone.end()

    await visit.open("/devices")
    link_to_it = visit.page.locator("td.name a")
    await expect(link_to_it).to_have_text("Bert's phone")
    device = await link_to_it.get_attribute("href")
    assert device is not None
    await it_does_what_the_page_says(visit, device, Config.loads(text))
    await visit.open("/invitations")
    await expect(visit.page.locator("tbody .tag")).to_have_text("used up")
    await visit.end()


def no_private_key_was_sent(visit: Visit, text: str) -> None:
    """The private key of a configuration is in nothing that the browser sent, in no writing of it."""
    found = re.search(r"^PrivateKey = (.{44})$", text, re.MULTILINE)
    assert found is not None
    key = found[1]
    forms = {key, key.rstrip("="), key.replace("+", "-").replace("/", "_").rstrip("="), b64decode(key).hex()}
    own = Config.loads(text).interface.private_key
    assert own is not None
    public = str(own.public_key)
    everything = [*visit.sent, *map(unquote, visit.sent)]
    assert any(public in each or public in unquote(each).replace(" ", "+") for each in everything)
    for each in everything:
        assert not any(form in each or form in each.replace(" ", "+") for form in forms)


def scanned(picture: bytes) -> str:
    """Read the QR code of a screenshot."""
    # Nothing else is looked for: lines of a code look like a bar code now and then.
    kind = zxingcpp.barcode_formats_from_str("QRCode")
    found = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)), formats=kind)
    assert len(found) == 1
    return found[0].text


async def until_silent(ask: Callable[[], Awaitable[object]]) -> None:
    """Return once a question has no answer any more."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            await ask()
        except (TimeoutError, OSError):
            return
        await asyncio.sleep(0.1)
    pytest.fail("there are still answers")
