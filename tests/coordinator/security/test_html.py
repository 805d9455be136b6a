"""What stands in the pages: nothing that the policy of contents forbids, and nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wirewright.coordinator.web.integrity import STATIC

from .browser import changes, filled, routes
from .screen import Screen

if TYPE_CHECKING:
    from .conftest import Open

pytestmark = pytest.mark.anyio

TEMPLATES = Path(STATIC).parent / "templates"


@pytest.mark.parametrize("who", ["admin", "operator", "member", "half", ""])
async def test_no_screen_has_a_script_a_style_or_a_handler_in_it(page: Open, who: str) -> None:
    async with page.browser(who) as browser:
        for path in routes("GET"):
            if path != "/live":
                answer = await browser.get(filled(path, page.house))
                if answer.headers.get("content-type", "").startswith("text/html"):
                    Screen(answer)


async def test_what_is_shown_after_a_change_has_none_either(page: Open) -> None:
    shown = 0
    for who in ("admin", "operator", ""):
        async with page.browser(who) as browser:
            for path, where, fields in changes(page.house):
                if path == "/logout" or path.endswith(("/remove", "/end", "/password")):
                    continue
                for sent in (fields, {}):
                    answer = await browser.submit(where, sent)
                    if answer.headers.get("content-type", "").startswith("text/html"):
                        Screen(answer)
                        shown += 1
    assert shown > 50


async def test_each_form_carries_the_token_and_is_sent_here(page: Open) -> None:
    async with page.browser("admin") as browser:
        for path in routes("GET"):
            if path == "/live":
                continue
            text = (await browser.get(filled(path, page.house))).text
            for form in re.findall(r"<form\b.*?</form>", text, re.DOTALL):
                head = form.split(">", 1)[0]
                # A script of ours sends this one, with the token of the page.
                if 'method="post"' in head and 'data-module="passkey"' not in head:
                    assert 'name="form_token"' in form, (path, head)
                    assert re.search(r'action="/[a-z]', head), (path, head)


def test_no_template_puts_anything_in_unescaped() -> None:
    for path in TEMPLATES.rglob("*.html"):
        text = path.read_text()
        for word in ("|safe", "| safe", "Markup", "autoescape", "<style", "style=", "javascript:", "data:"):
            assert word not in text, (path.name, word)
        # What is not in quotes ends at a blank, where another attribute may begin.
        assert not re.search(r"\s[\w-]+=\{\{", text), path.name
        assert not re.search(r"<[^>{]*\son[a-z]+=", text), path.name


def test_no_script_of_ours_makes_html_or_code_of_text() -> None:
    words = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function")
    for path in (STATIC / "js").glob("*.js"):
        text = path.read_text()
        assert not [word for word in words if word in text], path.name
        assert not re.search(r"https?://(?!www\.w3\.org|www\.apple\.com)", text), path.name
