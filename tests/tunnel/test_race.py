"""Several addresses of one host: the first that answers wins (RFC 8305)."""

from __future__ import annotations

import asyncio
import contextlib
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from tests.tunnel.pairs import QUICK, SERVER_V4, SERVER_V6, Pair, nothing_held
from tests.tunnel.test_streams import echo
from wirewright.tunnel.arguments import literal
from wirewright.tunnel.dialing import race, release
from wirewright.tunnel.errors import ConnectTimeoutError, NoRouteError, RefusedError

if TYPE_CHECKING:
    from wirewright.tunnel.context import Context

pytestmark = pytest.mark.anyio

GOOD4, GOOD6 = ip_address(SERVER_V4), ip_address(SERVER_V6)
SILENT4, SILENT6 = ip_address("10.9.0.77"), ip_address("fd09::77")
OUTSIDE = ip_address("192.0.2.1")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wirewright.tunnel.dialing.ATTEMPT_DELAY", 0.02)


def context_of(pair: Pair) -> Context:
    assert pair.client._context is not None
    return pair.client._context


async def winner(pair: Pair, *addresses: object) -> str:
    context = context_of(pair)
    connection = await race(context, addresses, 7)  # type: ignore[arg-type]
    assert len(context.dispatcher) == 1, "losers are left"
    release(context, connection)
    await nothing_held(pair.client)
    return connection.peer[0]


async def test_the_first_address_wins_if_it_answers(pair: Pair) -> None:
    async with await pair.server.start_server(echo, port=7):
        assert await winner(pair, GOOD6, GOOD4) == SERVER_V6


async def test_a_silent_address_delays_a_moment_only(pair: Pair) -> None:
    async with await pair.server.start_server(echo, port=7):
        assert await winner(pair, SILENT6, GOOD4) == SERVER_V4
        assert await winner(pair, SILENT6, SILENT4, GOOD4) == SERVER_V4


async def test_a_refusal_starts_the_next_attempt_at_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wirewright.tunnel.dialing.ATTEMPT_DELAY", 3600)
    async with await pair.server.start_server(echo, port=7, host=SERVER_V4):
        assert await winner(pair, GOOD6, GOOD4) == SERVER_V4


async def test_addresses_that_no_peer_covers_are_passed_over(pair: Pair) -> None:
    async with await pair.server.start_server(echo, port=7):
        assert await winner(pair, OUTSIDE, GOOD4) == SERVER_V4
    with pytest.raises(NoRouteError, match=r"192\.0\.2\.1"):
        await race(context_of(pair), [OUTSIDE, ip_address("192.0.2.2")], 7)


async def test_if_all_fail_the_first_error_names_the_others(quick_pair: Pair) -> None:
    with pytest.raises(ConnectTimeoutError) as caught:
        await race(context_of(quick_pair), [SILENT4, GOOD6, GOOD4], 7)
    assert str(SILENT4) in str(caught.value)
    assert [SERVER_V6 in caught.value.__notes__[0], SERVER_V4 in caught.value.__notes__[1]] == [True, True]
    await nothing_held(quick_pair.client)
    assert QUICK.connect == 0.3


async def test_a_race_cancelled_at_any_step_leaves_nothing(pair: Pair) -> None:
    context = context_of(pair)
    server = await pair.server.start_server(echo, port=7)
    for steps in range(12):
        task = asyncio.ensure_future(race(context, [SILENT6, GOOD6, GOOD4], 7))
        for _ in range(steps):
            await asyncio.sleep(0.004)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            release(context, await task)
        await nothing_held(pair.client)
    server.close()
    await server.wait_closed()


async def test_a_refused_race_is_a_refusal(pair: Pair) -> None:
    with pytest.raises(RefusedError):
        await race(context_of(pair), [GOOD6, GOOD4], 7)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_literal_may_stand_in_brackets() -> None:
    assert literal("[fd00::1]") == ip_address("fd00::1")
    assert literal("10.0.0.1") == ip_address("10.0.0.1")
    assert literal("host") is None
    assert literal("[host]") is None
