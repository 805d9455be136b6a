"""axe-core finds nothing on any screen, in any look; and nothing takes a mouse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT, missing

from .screens import Theme, furnish, last_screens, screens, served_with_all
from .visiting import PHONE, WIDE, Visit

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, ViewportSize

    from .serving import Served

pytestmark = pytest.mark.anyio
AXE = ROOT / ".cache" / "axe.js"
# In the dark only colours are other ones.
LOOKS: tuple[tuple[Theme, ViewportSize, list[str] | None], ...] = (
    ("light", WIDE, None),
    ("light", PHONE, None),
    ("dark", WIDE, ["color-contrast"]),
)
RUN = """rules => axe.run(document, {
    resultTypes: ['violations'], ...(rules ? {runOnly: {type: 'rule', values: rules}} : {}),
})"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core, as scripts/vendor_web.py fetches it."""
    if not AXE.exists():
        AXE.parent.mkdir(exist_ok=True)
        made = subprocess.run(
            [sys.executable, ROOT / "scripts/vendor_web.py", "--check", "--axe", AXE],
            check=False,
            capture_output=True,
            text=True,
        )
        if not AXE.exists():
            missing("axe-core", f"scripts/vendor_web.py --axe fetches it, which takes npm: {made.stderr}")
    return AXE.read_text()


async def complaints(page: Page, axe: str) -> list[str]:
    """Return what axe finds on a page, wide and dark and on a phone, each with where and why."""
    # Not by a script element, which the policy of contents refuses, as it should.
    await page.evaluate(axe)
    told = []
    for theme, size, rules in LOOKS:
        await page.set_viewport_size(size)
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        found: dict[str, Any] = await page.evaluate(RUN, rules)
        told += [
            f"{theme} {size['width']} {each['id']}: {node['target']} {node['failureSummary']}"
            for each in found["violations"]
            for node in each["nodes"]
        ]
        if await page.evaluate(OVERFLOW) > 0:
            told.append(f"{size['width']}: it is wider than the screen, so that people scroll sideways")
    return told


@pytest.mark.timeout(300)
async def test_axe_finds_nothing_on_any_screen(tmp_path: Path, chromium: Browser, axe: str) -> None:
    with served_with_all(tmp_path) as served:
        await axe_finds_nothing(served, chromium, axe)


async def axe_finds_nothing(served: Served, chromium: Browser, axe: str) -> None:
    visit = await Visit.begin(chromium, served.url)
    page = visit.page
    found: dict[str, list[str]] = {}
    await page.goto(served.setup)
    found["setup"] = await complaints(page, axe)
    await visit.set_up(served.setup)
    found["devices-empty"] = await complaints(page, axe)
    await page.set_viewport_size(WIDE)
    device, _ = await furnish(visit)
    async for name, _ in screens(visit, device):
        found[name] = await complaints(page, axe)
        await page.set_viewport_size(WIDE)
    async for name, _ in last_screens(visit):
        found[name] = await complaints(page, axe)
        await page.set_viewport_size(WIDE)
    assert {name: each for name, each in found.items() if each} == {}
    # A page that is not there is told by the browser as an error of its own.
    expected = ("404", "422", "401", "htmx:")
    visit.errors = [each for each in visit.errors if not any(word in each for word in expected)]
    await visit.end()


async def test_a_device_is_added_and_removed_with_the_keyboard_alone(
    served: Served, chromium: Browser
) -> None:
    visit = await Visit.begin(chromium, served.url)
    page = visit.page
    await visit.set_up(served.setup)
    await visit.open("/devices")
    await press_until(page, "Skip to the content")
    await press_until(page, "Add a device")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#name")
    await page.keyboard.type("keyboard")
    await press_until(page, "Add it")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#made-title")
    # Whoever does not see the page is taken to what is new on it.
    assert await focused(page) == "Take the configuration now"
    await press_until(page, "I have it")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#about")
    await press_until(page, "Remove …")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=This will be lost")
    # What destroys something is not where the first Enter lands.
    assert await focused(page) == "Keep"
    await press_until(page, "Remove")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=No device yet")
    await visit.end()


async def focused(page: Page) -> str:
    text: str = await page.evaluate("() => document.activeElement.textContent.trim()")
    return text


async def press_until(page: Page, text: str) -> None:
    for _ in range(60):
        if await focused(page) == text:
            return
        await page.keyboard.press("Tab")
    pytest.fail(f"the keyboard does not come to {text!r}")
