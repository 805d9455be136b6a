"""Draw the page's icons in the sizes that phones want, from its SVG, with Debian's Chromium.

The pictures are committed. Run it after a change of the SVG.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import sync_playwright

ICONS: Final = Path(__file__).resolve().parent.parent / "src/wirewright/coordinator/web/static/icons"
SIZES: Final = (192, 512)


def main() -> int:
    """Write a PNG of each size."""
    program = shutil.which("chromium")
    if program is None:
        sys.stderr.write("install chromium\n")
        return 1
    source = (ICONS / "wirewright.svg").read_text()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for size in SIZES:
            page = browser.new_page(viewport={"width": size, "height": size})
            page.set_content(f"<style>body {{ margin: 0 }} svg {{ display: block }}</style>{source}")
            page.screenshot(path=ICONS / f"wirewright-{size}.png", omit_background=True)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
