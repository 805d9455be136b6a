"""Whose cookies are whose, where one host has several coordinators."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.coordinator.visiting import PASSWORD
from wirewright.coordinator import app
from wirewright.coordinator.process import Settings, _site
from wirewright.coordinator.serving import Listening
from wirewright.coordinator.web.cookies import SESSION, VISIT

from .browser import FROM_HERE

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from .conftest import Open

pytestmark = pytest.mark.anyio
TLS = {"certificate": Path("a.pem"), "key": Path("b.pem")}


def name(public_url: str | None = None, **listening: object) -> str:
    settings = Settings(Path("state"), Listening(**listening), public_url=public_url)  # type: ignore[arg-type]
    return _site(settings).cookie_name(SESSION)


@pytest.mark.parametrize(
    ("public_url", "listening", "expected"),
    [
        (None, {"port": 8081}, "wirewright-session-8081"),
        (None, {"port": 443, **TLS}, "__Host-wirewright-session-443"),
        # What browsers see is the public URL, whatever port a replica listens on.
        ("https://vpn.example", {"port": 8080, "behind_proxy": ("127.0.0.1",)}, "__Host-wirewright-session"),
        ("https://vpn.example:8443", {"port": 1, **TLS}, "__Host-wirewright-session-8443"),
        (None, {"port": 8080, "behind_proxy": ("127.0.0.1",)}, "__Host-wirewright-session"),
    ],
)
def test_cookies_have_the_port_that_browsers_see_in_their_names(
    public_url: str | None, listening: dict[str, object], expected: str
) -> None:
    assert name(public_url, **listening) == expected


def test_two_on_any_free_port_have_cookies_of_their_own() -> None:
    assert name(port=0) != name(port=0)


async def test_who_logs_in_at_one_coordinator_stays_logged_in_at_another_of_the_same_host(
    opening: Callable[[], AbstractAsyncContextManager[Open]], tmp_path: Path
) -> None:
    async with opening() as first, opening() as second:
        # Browsers keep no port with a cookie, and neither does this one.
        browser = httpx2.AsyncClient(
            mounts={
                f"http://127.0.0.1:{port}": httpx2.ASGITransport(
                    app.create(
                        opened.storage, site=_site(Settings(tmp_path, Listening(port=port), public_url=None))
                    )
                )
                for port, opened in ((8080, first), (8081, second))
            }
        )
        async with browser:
            for port in (8080, 8081):
                root = f"http://127.0.0.1:{port}"
                form = (await browser.get(f"{root}/login")).text
                fields = {
                    "name": "admin",
                    "password": PASSWORD,
                    "form_token": form.partition('name="form_token" value="')[2][:64],
                }
                answer = await browser.post(f"{root}/login", data=fields, headers=FROM_HERE)
                assert answer.status_code == 303, answer.text
            kept = sorted(each.name for each in browser.cookies.jar)
            assert kept == sorted(f"{each}-{port}" for each in (SESSION, VISIT) for port in (8080, 8081))
            for port in (8080, 8081):
                assert (await browser.get(f"http://127.0.0.1:{port}/devices")).status_code == 200
