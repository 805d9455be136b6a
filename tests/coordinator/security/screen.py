"""Reads a page as a browser does."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2

ATTRIBUTES = {"href", "src", "action", "formaction"}


class Screen(HTMLParser):
    """Reads a page, and fails at what nobody of ours wrote."""

    def __init__(self, answer: httpx2.Response) -> None:
        super().__init__(convert_charrefs=True)
        self.where = f"{answer.request.method} {answer.request.url}"
        self.inside = ""
        self.feed(answer.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        values = dict(attrs)
        self.inside = tag
        assert len(set(names)) == len(names), (self.where, tag, names)
        assert tag not in ("style", "iframe", "object", "embed", "base"), self.where
        assert tag != "script" or (values.get("src") or "").startswith("/static/"), self.where
        handlers = [name for name in names if name.startswith("on") or name in ("style", "srcdoc")]
        assert not handlers, (self.where, handlers)
        assert tag != "img" or (values["src"] or "").startswith("/static/"), self.where
        for name in ATTRIBUTES & values.keys():
            text = values[name] or ""
            assert text.startswith(("/", "#", "https://vpn.example")), (self.where, text)
            assert not text.startswith("//"), (self.where, text)

    def handle_data(self, data: str) -> None:
        assert self.inside != "script" or not data.strip(), self.where

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""
