"""The streams of what devices do, over a socket: who gets one, and how it ends."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2
import pytest

from wirewright.coordinator import streaming
from wirewright.coordinator.live import AGAIN, OF_ONE
from wirewright.coordinator.login import passwords, sessions
from wirewright.coordinator.services import bootstrap, devices, users
from wirewright.coordinator.services.access import SYSTEM, Role
from wirewright.coordinator.services.devices import NewDevice
from wirewright.coordinator.storage.tables import Token
from wirewright.coordinator.web import Site
from wirewright.coordinator.web.cookies import SESSION

from .actors import Actors, Clock, key
from .served import served
from .visiting import logged_in, visitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from wirewright.coordinator.storage import Storage, Transaction

pytestmark = pytest.mark.anyio
PATIENCE = 30
PAGE = "/live"
API = "/api/v1/devices/live"


@pytest.fixture
async def opened(storage: Storage, actors: Actors, clock: Clock) -> AsyncIterator[Opened]:
    device = await storage.write(devices.create, SYSTEM, NewDevice("laptop", key()))
    async with served(storage, site=Site()) as url:
        # A stream has a connection of its own, as the many of one browser have over HTTP/2 behind a proxy.
        limits = httpx2.Limits(max_connections=None)
        root = url.removesuffix("/api/v1")
        async with httpx2.AsyncClient(base_url=root, limits=limits, timeout=PATIENCE) as client:
            yield Opened(storage, actors, client, device.device.id, clock)


@dataclass
class Opened:
    """A coordinator at a socket, and one device."""

    storage: Storage
    actors: Actors
    client: httpx2.AsyncClient
    device: str
    clock: Clock

    @asynccontextmanager
    async def stream(self, kind: str, proof: str) -> AsyncIterator[httpx2.Response]:
        """Ask for a stream of the page (with a cookie) or of the API (with a token)."""
        if kind == "page":
            path, field, headers = PAGE, "id", {"Cookie": f"{SESSION}={proof}"}
        else:
            path, field, headers = API, "device", {"Authorization": f"Bearer {proof}"}
        asked = self.client.stream("GET", path, params={field: self.device}, headers=headers)
        async with asyncio.timeout(PATIENCE), asked as answer:
            yield answer

    async def ends(self, kind: str, proof: str, work: Callable[[], Awaitable[object]]) -> None:
        """Open a stream, do the work once it has begun, and read the stream to its end."""
        async with self.stream(kind, proof) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = answer.aiter_lines()
            async for line in lines:
                if line.startswith("data:"):
                    break
            await work()
            async for _ in lines:
                pass

    async def status(self, kind: str, proof: str) -> int:
        async with self.stream(kind, proof) as answer:
            return answer.status_code


@pytest.mark.parametrize("kind", ["page", "api"])
async def test_one_stream_too_many_is_refused_with_a_status_and_told_when_to_come_again(
    opened: Opened, kind: str
) -> None:
    admin = opened.actors.users["admin"]
    proof = opened.actors.tokens["admin"] if kind == "api" else await logged_in(opened.storage, admin)
    async with AsyncExitStack() as stack:
        for _ in range(OF_ONE):
            answer = await stack.enter_async_context(opened.stream(kind, proof))
            assert answer.status_code == 200
        # The page's script asks so to hear why it was refused.
        opened.client.headers["Accept"] = "application/json"
        refused = await stack.enter_async_context(opened.stream(kind, proof))
        assert (refused.status_code, refused.headers["retry-after"]) == (429, str(AGAIN))
        await refused.aread()
        assert str(OF_ONE) in refused.json()["detail"]
        # Another user has places of their own.
        assert await opened.status("api", opened.actors.tokens["operator"]) == 200
    async with asyncio.timeout(PATIENCE):
        # The server hears of the ends after us.
        while await opened.status(kind, proof) != 200:  # noqa: ASYNC110 (it is the server's)
            await asyncio.sleep(0.02)


async def log_out(opened: Opened, cookie: str) -> None:
    here = await visitor(opened.storage, cookie)
    await opened.storage.write(sessions.end, here.caller, here.session.id)


async def end_the_others(opened: Opened, _cookie: str) -> None:
    await opened.storage.write(sessions.end_all, opened.actors.users["operator"], but="another's")


async def change_password(opened: Opened, _cookie: str) -> None:
    await opened.storage.write(passwords.set_password, SYSTEM, opened.actors.users["operator"], "hashed")


async def disable_user(opened: Opened, _proof: str) -> None:
    await opened.storage.write(users.update, SYSTEM, opened.actors.users["operator"], enabled=False)


async def remove_user(opened: Opened, _proof: str) -> None:
    await opened.storage.write(users.delete, SYSTEM, opened.actors.users["operator"])


async def change_role(opened: Opened, _proof: str) -> None:
    await opened.storage.write(users.update, SYSTEM, opened.actors.users["operator"], role=Role.MEMBER)


async def log_in_too_often(opened: Opened, _cookie: str) -> None:
    for _ in range(sessions.MOST):
        opened.clock.now += 1
        await logged_in(opened.storage, opened.actors.users["operator"])


@pytest.mark.parametrize(
    "revoke",
    [log_out, end_the_others, change_password, disable_user, remove_user, change_role, log_in_too_often],
)
async def test_a_stream_of_the_page_ends_with_its_session_at_once(
    opened: Opened,
    monkeypatch: pytest.MonkeyPatch,
    revoke: Callable[[Opened, str], Awaitable[None]],
) -> None:
    # Nobody is asked because of the time.
    monkeypatch.setattr(streaming, "KEEPALIVE", 3600.0)
    cookie = await logged_in(opened.storage, opened.actors.users["operator"])
    await opened.ends("page", cookie, lambda: revoke(opened, cookie))
    # A browser that comes again is led to the login.
    assert await opened.status("page", cookie) == 303


async def remove_token(opened: Opened, _token: str) -> None:
    async def work(tx: Transaction) -> None:
        for token in (await users.tokens(tx, SYSTEM, None, 200)).items:
            if token.user_id == opened.actors.users["operator"]:
                await users.delete_token(tx, SYSTEM, token.id)

    await opened.storage.write(work)


@pytest.mark.parametrize(
    ("revoke", "status"),
    [(remove_token, 401), (disable_user, 401), (remove_user, 401), (change_role, 200)],
)
async def test_a_stream_of_the_api_ends_with_what_its_token_may_at_once(
    opened: Opened,
    monkeypatch: pytest.MonkeyPatch,
    revoke: Callable[[Opened, str], Awaitable[None]],
    status: int,
) -> None:
    monkeypatch.setattr(streaming, "KEEPALIVE", 3600.0)
    token = opened.actors.tokens["operator"]
    await opened.ends("api", token, lambda: revoke(opened, token))
    # Who is a member since may ask again, and sees what a member sees.
    assert await opened.status("api", token) == status


async def test_a_stream_ends_when_the_token_of_a_recovery_is_replaced(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "KEEPALIVE", 3600.0)
    token = (await opened.storage.write(bootstrap.another_token)).expose()
    await opened.ends("api", token, lambda: opened.storage.write(bootstrap.another_token))


@pytest.mark.parametrize("kind", ["page", "api"])
async def test_a_stream_ends_when_a_session_or_token_ends_by_time(
    opened: Opened, clock: Clock, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(streaming, "KEEPALIVE", 0.01)
    cookie = await logged_in(opened.storage, opened.actors.users["operator"])

    async def pass_by() -> None:
        async def work(tx: Transaction) -> None:
            for token in (await users.tokens(tx, SYSTEM, None, 200)).items:
                row = await tx.session.get(Token, token.id)
                assert row is not None
                row.expires_at = tx.now + sessions.LONGEST

        await opened.storage.write(work)
        clock.now += sessions.LONGEST

    await opened.ends(kind, cookie if kind == "page" else opened.actors.tokens["operator"], pass_by)


async def test_a_stream_goes_on_when_something_of_its_user_changes_that_it_may_all_the_same(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "KEEPALIVE", 3600.0)
    mine = await logged_in(opened.storage, opened.actors.users["operator"])
    other = await logged_in(opened.storage, opened.actors.users["operator"])
    async with opened.stream("page", mine) as answer:
        lines = answer.aiter_lines()
        async for line in lines:
            if line.startswith("data:"):
                break
        await log_out(opened, other)
        # It was asked, and may still.
        async for line in lines:
            if line.startswith(": still here"):
                return
    pytest.fail("the stream ended")
