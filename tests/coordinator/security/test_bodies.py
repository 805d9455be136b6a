"""Bodies that no form of ours sends, and paths that lead nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.coordinator.visiting import PASSWORD
from wirewright.coordinator.web.rendering import static

from .house import everything

if TYPE_CHECKING:
    from .conftest import Open

pytestmark = pytest.mark.anyio

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=x"


async def test_a_body_that_is_too_large_is_refused_unread(page: Open) -> None:
    async with page.browser("admin") as browser:
        for path in ("/import", "/login", "/devices/bulk"):
            answer = await browser.submit(path, b"devices=" + b"x" * (256 * 1024), **{"Content-Type": FORM})
            assert answer.status_code == 413, path


@pytest.mark.parametrize(
    "body",
    [b"id=x&" * 40_000, b"action=enable&" + b"&" * 250_000, b"&".join(b"f%d=1" % n for n in range(20_000))],
)
async def test_thousands_of_fields_are_refused(page: Open, body: bytes) -> None:
    before = await everything(page.storage)
    body = f"action=disable&id={page.house.ids['device']}&".encode() + body
    async with page.browser("admin") as browser:
        answer = await browser.submit("/devices/bulk", body, **{"Content-Type": FORM})
        assert answer.status_code == 413
        assert "Traceback" not in answer.text
    assert await everything(page.storage) == before


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (FORM, b"policy=%ff%fe"),
        (FORM, b"policy=\xff\xfe"),
        (FORM, b"%=%&==&%zz"),
        (FORM + "; charset=utf-16", "policy=anything".encode("utf-16")),
        (FORM + "; charset=nonsense", b"policy=no+such+rule"),
        (MULTIPART, b"--x\r\nContent-Disposition: form-data; name=policy\r\n\r\nnothing\r\n--x--\r\n"),
        (MULTIPART, b"--x\r\nContent-Disp"),
        (MULTIPART, b"--y--"),
        ("multipart/form-data", b"--x"),
        ("multipart/form-data; boundary=", b""),
        ("application/json", b'{"policy": "nothing"}'),
        ("application/json", b"{"),
        ("text/plain", b"policy=nothing"),
        ("", b"policy=nothing"),
    ],
)
async def test_a_body_that_is_no_form_changes_nothing(page: Open, kind: str, body: bytes) -> None:
    """Above all it is not taken for a form whose fields are all empty."""
    before = await everything(page.storage)
    here = f"/devices/{page.house.ids['device']}"
    async with page.browser("admin") as browser:
        for path in (f"{here}/policy", f"{here}/expiry", f"/gateways/{page.house.ids['gateway']}/settings"):
            answer = await browser.submit(path, body, **{"Content-Type": kind})
            assert 400 <= answer.status_code < 500, (path, answer.status_code)
            assert "Traceback" not in answer.text
    assert await everything(page.storage) == before


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"answer": ' + b"[" * 100_000])
async def test_a_body_that_is_no_json_is_refused_where_scripts_send_it(page: Open, body: bytes) -> None:
    async with page.browser("admin") as browser:
        for path in ("/login/passkey", "/account/passkeys"):
            answer = await browser.submit(path, body, **{"Content-Type": "application/json"})
            assert 400 <= answer.status_code < 500, path


async def test_a_path_leads_out_of_the_static_files_nowhere(page: Open) -> None:
    folder = static("").rstrip("/")
    async with page.browser("admin") as browser:
        assert (await browser.get(f"{folder}/js/page.js")).status_code == 200
        for up in ("..", "%2e%2e", "%2E%2e", ".%2e", "..%2f..", "..%5c..", "%252e%252e", "....//"):
            for file in ("rendering.py", "templates/base.html", "../../../etc/passwd", "/etc/passwd"):
                for path in (
                    f"{folder}/{up}/{file}",
                    f"{folder}/js/{up}/{up}/{file}",
                    f"/static/{up}/{file}",
                ):
                    answer = await browser.get(path)
                    assert answer.status_code in (400, 404, 405), path
                    assert "def render" not in answer.text, path
                    assert "root:" not in answer.text, path
        for path in (
            f"{folder}/",
            f"{folder}/js",
            f"{folder}/js/",
            f"{folder}/%00",
            f"{folder}/js/page.js%00",
        ):
            answer = await browser.get(path)
            assert answer.status_code in (400, 404), path


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "\t//evil.example",
        " //evil.example",
        "///evil.example",
        "/x\r\nSet-Cookie: a=b",
        "javascript:alert(1)",
        "evil.example",
        "/..//evil.example",
        "/.//evil.example",
        "",
    ],
)
async def test_a_login_leads_to_no_other_site(page: Open, to: str) -> None:
    async with page.browser() as browser:
        form = {"name": "admin", "password": PASSWORD, "next": to}
        answers = [await browser.submit("/login", form)]
    async with page.browser("admin") as browser:
        answers.append(await browser.get("/login", params={"next": to}))
    for answer in answers:
        assert answer.status_code == 303
        where = answer.headers["location"]
        assert where.startswith("/"), where
        assert not where.startswith(("//", "/\\")), where
        assert "set-cookie:" not in where.lower()
        # What a browser makes of it.
        assert answer.url.join(where).host == "vpn.example", where


async def test_the_way_back_after_a_login_is_a_path_of_ours(page: Open) -> None:
    async with page.browser() as browser:
        for path in ("//evil.example/x", "/devices?next=//evil.example", "/%0d%0aSet-Cookie:x/devices"):
            answer = await browser.get(f"https://vpn.example{path}")
            if answer.status_code == 303:
                assert answer.headers["location"].startswith("/login")
            assert b"\r" not in answer.headers.get("location", "").encode()
