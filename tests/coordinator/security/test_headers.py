"""Whom the page answers to, and what each of its answers is held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.coordinator.visiting import PASSWORD
from wirewright.coordinator import app
from wirewright.coordinator.login import sessions
from wirewright.coordinator.services import devices
from wirewright.coordinator.web import Site
from wirewright.coordinator.web.cookies import SESSION, VISIT
from wirewright.coordinator.web.rendering import static

from .browser import FROM_HERE, ROOT, SECURE, Browser, filled, routes

if TYPE_CHECKING:
    from .conftest import Open

pytestmark = pytest.mark.anyio

SOURCES = {"'self'", "'none'"}


def held(answer: httpx2.Response) -> None:
    """Hold an answer to the headers of the page."""
    where = (answer.request.method, answer.request.url, answer.status_code)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert set(policy.values()) <= SOURCES, where
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'", where
    assert policy["form-action"] == policy["script-src"] == policy["style-src"] == "'self'", where
    assert answer.headers["x-frame-options"] == "DENY", where
    assert answer.headers["x-content-type-options"] == "nosniff", where
    assert answer.headers["referrer-policy"] == "same-origin", where
    assert answer.headers.get_list("cache-control") in (
        ["no-store"],
        ["public, max-age=31536000, immutable"],
    ), where


async def test_each_answer_has_the_headers(page: Open) -> None:
    for who in ("admin", "member", ""):
        async with page.browser(who) as browser:
            for path in routes("GET"):
                if path == "/live":
                    continue
                held(await browser.get(filled(path, page.house)))
            for path in ("/nowhere", "/devices/x", "/static/x", "/devices?page=0", "/healthz/x", "/metrics/"):
                held(await browser.get(path))
            held(await browser.post("/devices"))
            held(await browser.delete("/devices"))
            held(await browser.submit("/devices", {"name": "x"}))
            held(await browser.get("/devices", headers={"Host": "evil.example"}))
            for file in ("js/page.js", "css/page.css", "icons/wirewright.svg", "js/none.js"):
                held(await browser.get(static(file)))


async def test_what_is_refused_before_the_page_and_what_fails_in_it_has_the_headers(
    page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_args: object) -> None:
        raise RuntimeError("secret detail")

    async with page.browser("admin", broken_is_told=True) as browser:
        answer = await browser.post("/login", content=b"x" * (256 * 1024 + 1))
        assert answer.status_code == 413
        held(answer)
        monkeypatch.setattr(sessions, "visit", fail)
        answer = await browser.get("/devices")
        assert answer.status_code == 500
        assert "secret detail" not in answer.text
        assert "Traceback" not in answer.text
        assert "its log says more" in answer.text
        held(answer)


async def test_what_fails_in_the_api_has_the_headers_and_is_counted(
    page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_args: object, **_more: object) -> None:
        raise RuntimeError("secret detail")

    def counted() -> float:
        registry = page.application.state.coordinator.metrics.registry
        labels = {"method": "GET", "route": "/devices", "status": "500"}
        return registry.get_sample_value("wirewright_requests_total", labels) or 0.0

    monkeypatch.setattr(devices, "listed", fail)
    bearer, before = page.house.actors.bearer("admin"), counted()
    async with page.browser(broken_is_told=True) as browser:
        answer = await browser.get("/api/v1/devices", headers=bearer)
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert "secret detail" not in answer.text
        held(answer)
    assert counted() == before + 1


async def test_answers_of_the_api_are_not_sniffed_framed_or_run(page: Open) -> None:
    async with page.browser() as browser:
        for path in ("/api/v1/devices", "/api/v1/nowhere", "/healthz", "/metrics", "/openapi.json"):
            answer = await browser.get(path)
            assert answer.headers["x-content-type-options"] == "nosniff", path
            assert "default-src 'none'" in answer.headers["content-security-policy"], path


@pytest.mark.parametrize(
    ("host", "is_known"),
    [
        ("vpn.example", True),
        ("VPN.Example", True),
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("localhost", True),
        ("vpn.example.", False),
        ("vpn.example:8443", False),
        ("evil.example", False),
        ("vpn.example.evil.example", False),
        ("evil.example#vpn.example", False),
        ("vpn.example@evil.example", False),
        ("evil.example:443", False),
        ("192.0.2.1", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("0x7f.1", False),
        ("vpn.example, evil.example", False),
        ("<script>", False),
        ("vpn.example:99999", False),
        ("vpn.example:x", False),
        ("[::1", False),
        ("", False),
    ],
)
async def test_it_answers_to_its_own_names_only(page: Open, host: str, is_known: bool) -> None:
    """Another name may lead here, and its pages would then be of our origin (DNS rebinding)."""
    async with page.browser("admin") as browser:
        answer = await browser.get("/devices", headers={"Host": host})
        assert answer.status_code == (200 if is_known else 421)
        if not is_known:
            assert answer.headers["content-type"].startswith("text/plain")
            assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("hosts", [[], [b"vpn.example", b"evil.example"], [b"vpn.example", b"vpn.example"]])
async def test_it_answers_to_one_name_and_not_to_none_or_two(page: Open, hosts: list[bytes]) -> None:
    assert await _asked(page, [(b"host", host) for host in hosts]) == 421


async def test_a_name_in_capitals_with_its_port_is_known_where_the_public_url_has_one(page: Open) -> None:
    site = Site("https://VPN.example:8443", secure=True)
    assert site.knows("vpn.EXAMPLE:8443")
    assert not site.knows("vpn.example")
    assert not site.knows("vpn.example:443")


async def test_without_a_public_url_no_name_but_localhost_leads_here(page: Open) -> None:
    site = Site()
    assert site.knows("localhost:8080")
    assert site.knows("192.0.2.1:8080")
    assert site.knows("[2001:db8::1]")
    assert not any(site.knows(host) for host in ("vpn.example", "rebound.example:8080", "localhost."))


@pytest.mark.parametrize("is_secure", [True, False])
async def test_cookies_are_for_this_host_and_no_script(page: Open, is_secure: bool) -> None:
    root = ROOT if is_secure else "http://localhost"
    application = app.create(page.storage, site=Site(ROOT if is_secure else None, secure=is_secure))
    transport = httpx2.ASGITransport(application)
    prefix = SECURE if is_secure else ""
    async with Browser(transport=transport, base_url=root) as browser:
        begun = await browser.get("/login")
        browser.visit = browser.cookies[prefix + VISIT]
        entered = await browser.submit("/login", {"name": "admin", "password": PASSWORD})
        assert entered.status_code == 303
        browser.visit = browser.cookies[prefix + SESSION]
        left = await browser.submit("/logout")
    for answer, name in ((begun, VISIT), (entered, SESSION), (left, SESSION)):
        (told,) = answer.headers.get_list("set-cookie")
        pair, *flags = (part.strip().lower() for part in told.split(";"))
        assert pair.startswith((prefix + name).lower() + "=")
        assert {"httponly", "samesite=lax", "path=/"} <= set(flags)
        assert ("secure" in flags) == is_secure
        assert not any(flag.startswith("domain") for flag in flags)
    assert ("strict-transport-security" in begun.headers) == is_secure


async def test_a_host_that_is_not_ours_changes_nothing_whatever_it_proves(page: Open) -> None:
    async with page.browser("admin") as browser:
        answer = await browser.submit("/logout", {}, Host="evil.example", Origin="https://evil.example")
        assert answer.status_code == 421
        assert (await browser.get("/account", headers=FROM_HERE)).status_code == 200


async def _asked(page: Open, headers: list[tuple[bytes, bytes]]) -> int:
    """Ask without what a client makes of headers; return the status."""
    sent: list[int] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            assert isinstance(message["status"], int)
            sent.append(message["status"])

    scope = {"type": "http", "method": "GET", "path": "/login", "raw_path": b"/login", "query_string": b""}
    scope |= {"headers": headers, "scheme": "https", "client": ("127.0.0.1", 1), "server": ("x", 443)}
    await page.application(scope, receive, send)  # type: ignore[arg-type]
    return sent[0]


async def test_what_watches_a_coordinator_is_answered_beside_the_page(page: Open) -> None:
    async with page.browser() as browser:
        assert (await browser.get("/healthz")).status_code == 200
        answer = await browser.get("/metrics", headers=page.house.actors.bearer("admin"))
        assert answer.status_code == 200
        assert "wirewright_requests_total" in answer.text
        assert (await browser.get("/metrics")).status_code == 401
