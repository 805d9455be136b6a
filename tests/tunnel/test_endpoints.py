"""Endpoints are host names of the outer network: looked up by the system, outside the tunnel."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.tunnel.pairs import Ends
from wirewright.tunnel import Timeouts, Tunnel
from wirewright.tunnel.endpoints import endpoint_family, resolve_endpoint, system_lookup
from wirewright.tunnel.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.anyio


class Lookup:
    """The system's resolver, with answers prepared: an exception is raised, a list is the answer."""

    def __init__(self, answers: Sequence[Any]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, loop: object, host: str, family: socket.AddressFamily) -> list[str]:
        self.asked += 1
        answer: list[str] | Exception = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def immediately(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the waiting before a retry be short."""
    monkeypatch.setattr("wirewright.tunnel.endpoints.FIRST_RETRY", 0.001)


async def resolve(answers: Sequence[Any], patience: float = 5.0) -> tuple[tuple[str, int], int]:
    lookup = Lookup(answers)
    loop = asyncio.get_running_loop()
    endpoint = await resolve_endpoint(loop, ("vpn.example", 51820), patience, lookup=lookup)
    return endpoint, lookup.asked


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
async def test_an_ip_address_is_not_looked_up(host: str) -> None:
    endpoint = await resolve_endpoint(asyncio.get_running_loop(), (host, 1), 5.0, lookup=Lookup([]))
    assert endpoint == (host, 1)


async def test_the_first_of_the_systems_answers_is_taken() -> None:
    assert await resolve([["2001:db8::1", "192.0.2.1"]]) == (("2001:db8::1", 51820), 1)


async def test_a_failure_that_may_pass_is_tried_again() -> None:
    busy = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    assert await resolve([busy, busy, ["192.0.2.1"]]) == (("192.0.2.1", 51820), 3)


async def test_a_failure_that_does_not_pass_ends_with_the_patience() -> None:
    busy = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    with pytest.raises(EndpointError, match="Temporary failure in name resolution") as caught:
        await resolve([busy] * 100, patience=0.02)
    assert caught.value.errno == socket.EAI_AGAIN
    assert isinstance(caught.value, socket.gaierror)


async def test_a_name_that_does_not_exist_is_an_error_at_once() -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    with pytest.raises(EndpointError) as caught:
        await resolve([unknown])
    assert str(caught.value) == (
        "Endpoint vpn.example:51820 does not resolve: Name or service not known. Endpoints are looked up "
        "outside the tunnel: check the name and this machine's DNS, or write the peer's IP address."
    )


async def test_a_name_without_address_and_one_that_is_none_are_errors() -> None:
    with pytest.raises(EndpointError, match=r"^Endpoint vpn\.example:51820 does not resolve: it has no IP"):
        await resolve([[]])
    with pytest.raises(EndpointError, match="it is not a host name"):
        await resolve([UnicodeError("label too long")])


async def test_a_link_local_address_cannot_be_an_endpoint() -> None:
    with pytest.raises(EndpointError, match="is link-local"):
        await resolve_endpoint(asyncio.get_running_loop(), ("fe80::1%eth0", 1), 5.0)


async def test_a_resolver_that_does_not_answer_is_an_error() -> None:
    async def never(loop: object, host: str, family: socket.AddressFamily) -> list[str]:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(EndpointError, match=r"did not answer within 0\.01 s"):
        await resolve_endpoint(asyncio.get_running_loop(), ("vpn.example", 1), 0.01, lookup=never)


async def test_the_system_is_asked_in_a_thread() -> None:
    loop = asyncio.get_running_loop()
    assert "127.0.0.1" in await system_lookup(loop, "localhost", socket.AF_UNSPEC)
    assert await system_lookup(loop, "localhost", socket.AF_INET) == ["127.0.0.1"]


async def test_a_tunnel_whose_endpoint_does_not_resolve_does_not_open(core: str) -> None:
    config = Ends().client_config("no-such-host.invalid", 51820)
    tunnel = Tunnel(config, listen_address="127.0.0.1", timeouts=Timeouts(endpoint=2.0))
    with pytest.raises(EndpointError, match=r"no-such-host\.invalid:51820 does not resolve"):
        await tunnel.open()
    assert not tunnel.closed


async def test_a_tunnel_opens_with_an_endpoint_given_by_name(core: str) -> None:
    config = Ends().client_config("localhost", 51820)
    async with Tunnel(config, listen_address="127.0.0.1") as tunnel:
        assert tunnel.stats().peers[0].endpoint == ("127.0.0.1", 51820)


@pytest.mark.parametrize(
    ("listen_address", "family"),
    [
        (None, socket.AF_UNSPEC),
        ("::", socket.AF_UNSPEC),
        ("127.0.0.1", socket.AF_INET),
        ("::1", socket.AF_INET6),
    ],
)
async def test_an_endpoint_is_of_a_family_that_the_outer_socket_reaches(
    listen_address: str | None, family: socket.AddressFamily
) -> None:
    assert endpoint_family(listen_address) == family
