"""What a tunnel is told of what to forward. That it does is shown in tests/lab."""

from __future__ import annotations

import logging
import resource
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.tunnel.pairs import Ends
from wirewright import Forwarding
from wirewright.tunnel import Tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reach": "10.0.0.0/8"}, "sequence of networks"),
        ({"reach": ["10.0.0.1/8"]}, "host bits"),
        ({"connections": -1}, "connections -1"),
        ({"flows_per_peer": 1.5}, "not a whole number"),
        ({"datagram_idle": 0}, "datagram_idle 0"),
        ({"host": 1}, "neither True nor False"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_words(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        Forwarding(**settings)


def test_networks_may_be_text_and_everything_is_reached_by_default() -> None:
    assert Forwarding().reach == (ip_network("0.0.0.0/0"), ip_network("::/0"))
    assert Forwarding(reach=["10.0.0.0/8"]).reach == (ip_network("10.0.0.0/8"),)


@pytest.mark.anyio
async def test_without_forwarding_nothing_is_forwarded() -> None:
    async with Tunnel(Ends().server_config(), listen_address="127.0.0.1") as server:
        assert dict(server.stats().forwarding) == {}


@pytest.mark.anyio
async def test_every_counter_has_words() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tunnel.md").read_text()
    tunnel = Tunnel(Ends().server_config(), listen_address="127.0.0.1", forwarding=Forwarding())
    async with tunnel:
        assert [name for name in tunnel.stats().forwarding if f"`{name}`" not in page] == []


@pytest.fixture
def few_files() -> Iterator[int]:
    """Let this process have few open files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = 512
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, before[1]))
    yield few
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.anyio
async def test_a_limit_of_open_files_is_kept_and_told(
    few_files: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for forwarding, told in ((Forwarding(connections=100, flows=100), False), (Forwarding(), True)):
        caplog.clear()
        tunnel = Tunnel(Ends().server_config(), listen_address="127.0.0.1", forwarding=forwarding)
        async with tunnel:
            places = tunnel.stats().forwarding["places"]
            assert places == (few_files - 64 if told else 200)
            assert ("can be forwarded at once" in caplog.text) is told
