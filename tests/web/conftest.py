"""Debian's Chromium, and `ww serve` in a process of its own for it to look at."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from tests.conftest import missing

from .serving import Served, serving


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """A browser of the test's own, without a window."""
    program = shutil.which("chromium")
    if program is None:
        missing("chromium", "run scripts/install_lab_tools.sh, or install Debian's chromium")
    async with async_playwright() as playwright:
        # Its own sandbox takes a user other than root; it sees nothing here but our page.
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A coordinator with a rootless gateway on this machine, that nobody has set up yet."""
    with serving(tmp_path) as running:
        yield running
