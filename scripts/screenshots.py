"""Take the pictures of the page's screens that the documents show: light and dark, wide and on a phone.

    python scripts/screenshots.py [FOLDER]

It starts a coordinator with a rootless gateway, furnishes it, and goes through all screens with Debian's
Chromium. The folder is docs/screens, unless another is named.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.async_api import async_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.web.screens import furnish, last_screens, screens, served_with_all  # noqa: E402
from tests.web.visiting import PHONE, WIDE, Visit  # noqa: E402

from wirewright import Config, Tunnel  # noqa: E402

LOOKS = (("light", WIDE, "wide"), ("dark", WIDE, "wide"), ("light", PHONE, "phone"), ("dark", PHONE, "phone"))
COLOURS = 64
"""Of a picture: enough for a page without photographs, and a fifth of the bytes."""


async def main(folder: Path) -> None:
    """Take all pictures."""
    with tempfile.TemporaryDirectory() as scratch, served_with_all(Path(scratch)) as served:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            visit = await Visit.begin(browser, served.url)
            await visit.page.goto(served.setup)
            await take(visit, folder, "setup")
            await visit.set_up(served.setup)
            for name, path in (("devices-empty", "/devices"), ("invitations-empty", "/invitations")):
                await visit.open(path)
                await take(visit, folder, name)
            device, text = await furnish(visit)
            async with Tunnel(Config.loads(text)) as tunnel:
                traffic = asyncio.create_task(some_traffic(tunnel))
                # Some reports, so that there is something to draw.
                await asyncio.sleep(25)
                async for name, _ in screens(visit, device):
                    await take(visit, folder, name)
                traffic.cancel()
            async for name, _ in last_screens(visit):
                await take(visit, folder, name)
            await browser.close()


async def some_traffic(tunnel: Tunnel) -> None:
    """Ping the gateway now more and now less."""
    for number in itertools.count():
        with contextlib.suppress(TimeoutError):
            await tunnel.ping("10.88.0.1", timeout=1, payload=1000)
        await asyncio.sleep(0.02 if number % 100 < 50 else 0.2)


async def take(visit: Visit, folder: Path, name: str) -> None:
    """Take a screen in each look."""
    for theme, size, what in LOOKS:
        await visit.page.set_viewport_size(size)
        await visit.page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
        path = folder / f"{name}-{what}-{theme}.png"
        await visit.page.screenshot(path=path, full_page=True)
        Image.open(path).convert("RGB").quantize(COLOURS).save(path, optimize=True)
        sys.stdout.write(f"{path}\n")
    await visit.page.set_viewport_size(WIDE)


if __name__ == "__main__":
    wanted = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "screens"
    wanted.mkdir(parents=True, exist_ok=True)
    # Screens that are no more are not shown, either.
    for before in wanted.glob("*-*-*.png"):
        before.unlink()
    asyncio.run(main(wanted))
