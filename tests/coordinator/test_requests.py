"""Requests that are too long, too slow, no JSON, or nonsense; limits; metrics; health; pages."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from wirewright.coordinator.api.bodies import LARGEST, BoundedBodies
from wirewright.coordinator.errors import StorageFullError
from wirewright.coordinator.limits import Limiter
from wirewright.coordinator.services import devices
from wirewright.coordinator.serving import Listening, OpenToOthersError, refuse_open
from wirewright.dynamic.churn import MAX_CLIENTS, Rate

from .actors import key
from .served import served

if TYPE_CHECKING:
    from starlette.types import Message

    from wirewright.coordinator.storage import Storage

    from .actors import Actors

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_that_is_too_long_is_refused(storage: Storage, actors: Actors, chunked: bool) -> None:
    async def pieces() -> Any:
        for _ in range(LARGEST // 65_536 + 1):
            yield b" " * 65_536

    async with served(storage) as url, httpx2.AsyncClient(base_url=url) as client:
        content = pieces() if chunked else b" " * (LARGEST + 1)
        answer = await client.post("/devices", content=content, headers=actors.bearer("admin"))
    assert answer.status_code == 413
    assert answer.json()["type"] == "urn:wirewright:problem:too-large"


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    sent: list[Message] = []

    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    async def unreached(*_: object) -> None:
        raise AssertionError

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    await BoundedBodies(unreached, patience=0.01)(scope, never, send)
    assert sent[0]["status"] == 408


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"name": "x"}',
        b'{"name": "\\ud800", "public_key": "' + key().encode() + b'"}',
        b'{"name": "a\\u0000b", "public_key": "' + key().encode() + b'"}',
        b'{"name": "x", "public_key": "' + key().encode() + b'", "private_key": "x"}',
        b'{"name": "x", "public_key": "AAAA"}',
        b"[" * 100_000,
    ],
    ids=range(11),
)
async def test_a_body_that_makes_no_sense_is_a_problem(api: httpx2.AsyncClient, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await api.post("/devices", content=content, headers=headers)
    # 400 is for what is no JSON in a way that FastAPI does not place: nested too deeply, in no UTF-8.
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) >= {"type", "title", "status", "detail"}
    assert (await api.get("/devices")).json()["items"] == []


async def test_an_error_does_not_repeat_what_was_sent(api: httpx2.AsyncClient) -> None:
    """Somebody may put a secret into the wrong field."""
    body = {"name": "x", "public_key": "wwt_mistaken_secret", "wwt_another_secret": 1}
    answer = await api.post("/devices", json=body)
    assert answer.status_code == 422
    assert "mistaken" not in answer.text


async def test_a_failure_of_ours_tells_nothing_to_the_client(
    api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(*_: object) -> None:
        raise ZeroDivisionError("inner words")

    monkeypatch.setattr(devices, "get", fails)
    api._transport.raise_app_exceptions = False  # type: ignore[attr-defined]
    with caplog.at_level(logging.ERROR):
        answer = await api.get("/devices/00000000-0000-7000-8000-000000000000")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "inner words" not in answer.text
    assert "inner words" in caplog.text
    assert "wwt_" not in caplog.text


async def test_a_full_disk_is_a_problem_of_its_own(
    api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise StorageFullError("The disk of the database is full. Nothing of this request was applied.")

    monkeypatch.setattr(devices, "create", full)
    answer = await api.post("/devices", json={"name": "x", "public_key": key()})
    assert answer.status_code == 507
    assert "full" in answer.json()["detail"]


async def test_pages_have_all_and_each_once(api: httpx2.AsyncClient) -> None:
    made = [
        (await api.post("/devices", json={"name": f"{n}", "public_key": key()})).json()["id"]
        for n in range(5)
    ]
    found, after, pages = [], None, 0
    while True:
        parameters = {"limit": 2} | ({"after": after} if after else {})
        page = (await api.get("/devices", params=parameters)).json()
        found += [device["id"] for device in page["items"]]
        pages, after = pages + 1, page["next"]
        if after is None:
            break
    assert sorted(found) == sorted(made)
    assert len(found) == 5
    assert pages == 3


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "after=nonsense", "after=%00"])
async def test_a_page_that_cannot_be_is_a_problem(api: httpx2.AsyncClient, query: str) -> None:
    assert (await api.get(f"/devices?{query}")).status_code == 422


async def test_metrics_tell_of_requests_devices_and_traffic(api: httpx2.AsyncClient, actors: Actors) -> None:
    device = (await api.post("/devices", json={"name": 'a "name"', "public_key": key()})).json()
    seen = {"id": device["id"], "received": 7, "sent": 9, "latest_handshake": "2026-01-01T00:00:00Z"}
    gateway = {"Authorization": f"Bearer {actors.credential}"}
    await api.post("/gateways/self/report", json={"devices": [seen]}, headers=gateway)
    text = (await api.get("http://coordinator/metrics")).text
    labels = (
        f'allowed_ips="10.88.0.2/32,fd88::2/128",friendly_name="a \\"name\\"",interface="office",'
        f'public_key="{device["public_key"]}"'
    )
    lines = set(text.splitlines())
    assert f"wireguard_received_bytes_total{{{labels}}} 7.0" in lines
    assert f"wireguard_sent_bytes_total{{{labels}}} 9.0" in lines
    assert f"wireguard_latest_handshake_seconds{{{labels}}} 1.7672256e+09" in lines
    assert 'wirewright_devices{active="true",gateway="office"} 1.0' in lines
    assert 'wirewright_pool_addresses{pool="10.88.0.0/16",state="held"} 2.0' in lines
    counted = 'wirewright_requests_total{method="POST",route="/devices",status="201"} 1.0'
    assert counted in lines, text


async def test_health_needs_no_token_and_a_database(
    api: httpx2.AsyncClient, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, nobody = "http://coordinator/healthz", {"Authorization": ""}
    assert (await api.get(url, headers=nobody)).json() == {"status": "ok"}


def test_a_source_is_limited_alone_and_all_are_limited_together() -> None:
    limiter = Limiter(Rate(2, 1), Rate(5, 1))
    assert [limiter.admit("192.0.2.1", 0) for _ in range(3)] == [None, None, 1]
    assert limiter.admit("192.0.2.2", 0) is None
    assert limiter.admit("192.0.2.1", 1) is None
    # One host has a whole network of IPv6; it is one source.
    assert [limiter.admit(f"2001:db8::{n}", 1) for n in range(3)] == [None, None, 1]
    # The bucket for all is empty before that of the third source.
    assert limiter.admit("192.0.2.3", 1) == 1
    assert limiter.admit("192.0.2.3", 2) is None


def test_the_table_of_sources_is_bounded() -> None:
    limiter = Limiter(Rate(1, 1), Rate(10**9, 1e-9))
    for number in range(MAX_CLIENTS + 10):
        assert limiter.admit(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0) is None
    assert len(limiter._one._buckets) == MAX_CLIENTS


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "vpn.example"])
def test_plain_http_is_not_offered_to_other_machines(host: str) -> None:
    with pytest.raises(OpenToOthersError, match="TLS"):
        refuse_open(Listening(host))
    refuse_open(Listening(host, behind_proxy=("192.0.2.9",)))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_the_loopback_needs_no_tls(host: str) -> None:
    refuse_open(Listening(host))
