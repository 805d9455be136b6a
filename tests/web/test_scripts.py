"""What the page's scripts are: as published, as packed, and as a page says of those it names."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT, missing
from wirewright.coordinator.web.integrity import STATIC, listing

from .visiting import Visit

if TYPE_CHECKING:
    from playwright.async_api import Browser, Route

    from .serving import Served

WEB = STATIC.parent
PUBLISHED = ROOT / "docs/page-scripts.sha256"
NAMED = re.compile(r"static/\w+/(\S+\.js)\" integrity=\"sha256-(\S+)\"")


def test_the_published_list_says_what_each_script_is() -> None:
    told = dict(line.split("  ")[::-1] for line in PUBLISHED.read_text().splitlines())
    there = {
        str(path.relative_to(STATIC)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in STATIC.rglob("*.js")
    }
    assert told == there, "run scripts/page_scripts.py"
    assert PUBLISHED.read_text() == listing()


def test_each_element_that_names_a_script_says_what_it_is() -> None:
    for template in (WEB / "templates").glob("*.html"):
        for script in re.findall(r"<script\b[^>]*>", template.read_text()):
            path = re.search(r"static\('([^']+)'\)", script)
            assert path is not None, f"{template.name}: {script} is none of ours, or stands in the HTML"
            assert f"integrity=\"{{{{ integrity('{path[1]}') }}}}\"" in script, f"{template.name}: {script}"


def test_the_lock_of_packed_scripts_has_hashes_and_no_addresses() -> None:
    lock = json.loads((ROOT / "scripts/web/package-lock.json").read_text())
    packages = {name: each for name, each in lock["packages"].items() if name}
    assert len(packages) > 5
    assert [name for name, each in packages.items() if "resolved" in each] == []
    assert [name for name, each in packages.items() if not each["integrity"].startswith("sha512-")] == []


def test_packed_scripts_are_what_their_lock_gives() -> None:
    if shutil.which("npm") is None:
        missing("npm", "run scripts/install_lab_tools.sh, or install Debian's npm")
    check = subprocess.run(
        [sys.executable, ROOT / "scripts/vendor_web.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (check.returncode, check.stdout) == (0, "all the same\n"), check.stderr


def test_each_packed_script_comes_with_its_licence() -> None:
    told = (STATIC / "vendor/LICENCES.txt").read_text()
    packed = json.loads((ROOT / "scripts/web/package.json").read_text())
    used = {**packed.get("dependencies", {}), **packed.get("devDependencies", {})}
    # Tools of ours, which are not in the package.
    shipped = used.keys() - {"esbuild", "axe-core"}
    assert len(shipped) == 5
    assert [name for name in shipped if not re.search(rf"^{re.escape(name)} \d", told, re.MULTILINE)] == []


@pytest.mark.anyio
async def test_a_script_that_was_changed_on_its_way_does_not_run(served: Served, chromium: Browser) -> None:
    page = await chromium.new_page()
    html = await (await page.request.get(served.setup)).text()
    named = NAMED.findall(html)
    assert [path for path, _ in named] == ["js/theme.js", "vendor/htmx.js", "js/page.js"]
    for path, said in named:
        assert b64decode(said) == hashlib.sha256((STATIC / path).read_bytes()).digest()

    async def change(route: Route) -> None:
        answer = await route.fetch()
        changed = f"{await answer.text()}\ndocument.title = 'changed';"
        await route.fulfill(response=answer, body=changed)

    heard: list[str] = []
    page.on("console", lambda said: heard.append(said.text))
    await page.route("**/js/page.js", change)
    await page.goto(served.setup)
    await page.wait_for_load_state("networkidle")
    assert "changed" not in await page.title()
    assert [each for each in heard if "integrity" in each]


def icon(name: str) -> Path:
    return STATIC / "icons" / name


@pytest.mark.parametrize("size", [192, 512])
def test_icons_have_the_size_of_their_name(size: int) -> None:
    content = icon(f"wirewright-{size}.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert [int.from_bytes(content[place : place + 4]) for place in (16, 20)] == [size, size]


@pytest.mark.anyio
async def test_all_that_the_page_names_for_installing_it_is_there(served: Served, chromium: Browser) -> None:
    visit = await Visit.begin(chromium, served.url)
    request = visit.context.request
    manifest = await (await request.get(f"{served.url}/manifest.webmanifest")).json()
    html = await (await request.get(served.setup)).text()
    icons = [each["src"] for each in manifest["icons"]]
    links = re.findall(r"<link[^>]*href=\"([^\"]+)\"", html)
    assert len(icons) == 3
    assert len(links) >= 4
    for path in (*icons, *links):
        assert (await request.get(f"{served.url}{path}")).status == 200, path
    await visit.end()
