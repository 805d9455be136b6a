"""A person at a browser: what they do on our pages, and everything that the browser sent meanwhile."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, ViewportSize

PASSWORD = "umbrella quartz seven lanterns"
WIDE: ViewportSize = {"width": 1200, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}


@dataclass
class Visit:
    """One browser with its own cookies. What went wrong in its pages fails the test at the end."""

    context: BrowserContext
    page: Page
    url: str
    sent: list[str] = field(default_factory=list)
    """All that the browser sent: addresses, headers and bodies of requests."""
    errors: list[str] = field(default_factory=list)

    @classmethod
    async def begin(cls, browser: Browser, url: str, size: ViewportSize = WIDE) -> Visit:
        """Open a browser of a size."""
        context = await browser.new_context(viewport=size, accept_downloads=True)
        await context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
        visit = cls(context, await context.new_page(), url)
        context.on("request", visit._note)
        visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
        visit.page.on("console", visit._heard)
        return visit

    async def end(self) -> None:
        """Close it; nothing went wrong in the scripts, and nothing against the policy of contents."""
        await self.context.close()
        assert self.errors == []

    async def open(self, path: str) -> None:
        """Go to a page of ours."""
        await self.page.goto(f"{self.url}{path}")

    async def set_up(self, link: str, name: str = "anna") -> None:
        """Become the administrator."""
        await self.page.goto(link)
        await self.page.fill("#name", name)
        await self.page.fill("#password", PASSWORD)
        await self.page.fill("#again", PASSWORD)
        await self.page.click("text=Begin")
        await self.page.wait_for_url("**/devices")

    async def log_in(self, name: str = "anna", password: str = PASSWORD) -> None:
        """Log in by a password."""
        await self.open("/login")
        await self.page.fill("#name", name)
        await self.page.fill("#password", password)
        await self.page.click("main button:has-text('Log in')")

    async def add_device(self, name: str) -> tuple[str, str]:
        """Add a device whose key this browser makes; return its page's path and its configuration."""
        await self.open("/devices/new")
        await self.page.fill("#name", name)
        await self.page.click("text=Add it")
        return await self.taken()

    async def taken(self) -> tuple[str, str]:
        """Take the configuration that is shown once, as the file that the browser downloads."""
        await self.page.wait_for_selector("#made-title")
        async with self.page.expect_download() as coming:
            await self.page.click("text=Download .conf")
        download = await coming.value
        assert re.fullmatch(r"[a-zA-Z0-9_=+.-]{1,15}\.conf", download.suggested_filename)
        text = (await download.path()).read_text()
        link = await self.page.get_attribute("[data-part=done]", "href")
        assert link is not None
        return link, text

    async def done(self) -> None:
        """Leave the configuration that was shown."""
        await self.page.click("text=I have it")

    def _heard(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.errors.append(said.text)

    def _note(self, request: Request) -> None:
        headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
        self.sent.append(f"{request.method} {request.url}\n{headers}\n\n{request.post_data or ''}")
