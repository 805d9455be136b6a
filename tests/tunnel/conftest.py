"""Every test runs on the real core and on the fake one, on the stock loop and on uvloop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.tunnel.fake_core import FakeTunnel
from tests.tunnel.pairs import QUICK, Pair, joined

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=["fake", "real"])
def core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The core that tunnels stand on in this test."""
    if request.param == "fake":
        monkeypatch.setattr("wirewright.tunnel.lifecycle.RootlessTunnel", FakeTunnel)
        FakeTunnel.opened.clear()
    yield request.param
    if request.param == "fake":
        assert all(tunnel.closed for tunnel in FakeTunnel.opened), "a tunnel was left open"


@pytest.fixture
def fake_core(core: str) -> None:
    """For tests that provoke what the real core does only after a minute, or never."""
    if core != "fake":
        pytest.skip("provoked on the fake core")


@pytest.fixture
async def pair(core: str) -> AsyncIterator[Pair]:
    async with joined() as pair:
        yield pair


@pytest.fixture
async def quick_pair(core: str) -> AsyncIterator[Pair]:
    """As ``pair``, but impatient, and with a session."""
    async with joined(QUICK) as pair:
        await pair.client.wait_for_handshake(timeout=10)
        yield pair
