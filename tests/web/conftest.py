"""Debian's Chromium, and `ww serve` in a process of its own for it to look at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .browsing import chromium_running
from .serving import Served, serving

if TYPE_CHECKING:
    from playwright.async_api import Browser


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """A browser of the test's own, without a window."""
    async with chromium_running() as browser:
        yield browser


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A coordinator with a rootless gateway on this machine, that nobody has set up yet."""
    with serving(tmp_path) as running:
        yield running
