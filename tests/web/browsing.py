"""Starting Debian's Chromium, and modules of the page tried in it without a coordinator."""

from __future__ import annotations

import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from playwright.async_api import async_playwright

from tests.conftest import missing
from wirewright.coordinator.web.integrity import STATIC
from wirewright.coordinator.web.shield import HEADERS

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

CALL = "async ([module, name, values]) => (await import(`/js/${module}.js`))[name](...values)"
EMPTY = b'<!doctype html><html lang="en"><title>Modules</title><body></body></html>'


def program() -> str:
    """Return Debian's Chromium."""
    found = shutil.which("chromium")
    if found is None:
        missing("chromium", "run scripts/install_lab_tools.sh, or install Debian's chromium")
    return found


@asynccontextmanager
async def chromium_running() -> AsyncIterator[Browser]:
    """A browser without a window."""
    async with async_playwright() as playwright:
        # Its own sandbox takes a user other than root; it sees nothing here but our page.
        browser = await playwright.chromium.launch(executable_path=program(), args=["--no-sandbox"])
        yield browser
        await browser.close()


@dataclass
class Modules:
    """An empty page, under the page's own policy of contents, that modules are called in."""

    page: Page
    requests: list[str]
    """Addresses of all that was asked for."""

    @classmethod
    async def opened(cls, browser: Browser, url: str) -> Modules:
        """Open the page."""
        page = await browser.new_page()
        modules = cls(page, [])
        page.on("request", lambda request: modules.requests.append(request.url))
        await page.goto(url)
        return modules

    async def call(self, module: str, name: str, *values: object) -> Any:
        """Call a function of a module; values go and come as JSON."""
        return await self.page.evaluate(CALL, [module, name, list(values)])


@contextmanager
def static_served() -> Iterator[str]:
    """Serve the static files, with the headers of the page, and nothing else."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Static, directory=str(STATIC))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            # For browsers the loopback is as good as https, so that WebCrypto is there.
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


class _Static(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path != "/":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(EMPTY)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""
