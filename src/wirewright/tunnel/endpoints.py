"""Endpoints: host names of the outer network, resolved by the system before a tunnel can exist.

The system's resolver blocks, so the loop asks it in a thread. A temporary failure (no network yet, the
resolver is busy) is tried again, as ``wg`` does; a name that does not exist is an error at once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING

from wirewright.tunnel.errors import EndpointError
from wirewright.tunnel.peers import format_endpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Lookup = Callable[[asyncio.AbstractEventLoop, str, int], Awaitable[list[tuple[str, int]]]]

FIRST_RETRY = 0.5
# A name that is wrong stays wrong; these may pass.
_TEMPORARY = frozenset({socket.EAI_AGAIN, getattr(socket, "EAI_SYSTEM", socket.EAI_AGAIN)})


async def system_lookup(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[tuple[str, int]]:
    """Ask the system's resolver; the answers come in the order in which they should be tried."""
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    return [(str(info[4][0]), port) for info in infos if info[0] in {socket.AF_INET, socket.AF_INET6}]


async def resolve_endpoint(
    loop: asyncio.AbstractEventLoop, endpoint: tuple[str, int], patience: float, lookup: Lookup | None = None
) -> tuple[str, int]:
    """Return the endpoint with an IP address as its host, or raise ``EndpointError``."""
    host, port = endpoint
    if is_literal(host):
        return host, port
    failure: tuple[str, int | None] = f"this machine's resolver did not answer within {patience:g} s", None
    delay = FIRST_RETRY
    try:
        async with asyncio.timeout(patience):
            while True:
                try:
                    return await _first(loop, host, port, lookup or system_lookup)
                except socket.gaierror as error:
                    failure = error.strerror or str(error), error.errno
                    if error.errno not in _TEMPORARY:
                        break
                await asyncio.sleep(delay)
                delay *= 2
    except TimeoutError:
        # The last failure says more than that time is up.
        pass
    raise _unresolved(host, port, *failure)


async def _first(loop: asyncio.AbstractEventLoop, host: str, port: int, lookup: Lookup) -> tuple[str, int]:
    try:
        found = await lookup(loop, host, port)
    except UnicodeError as error:
        raise _unresolved(host, port, f"it is not a host name ({error})") from None
    if not found:
        raise _unresolved(host, port, "it has no IP address")
    return found[0]


def is_literal(host: str) -> bool:
    """Whether ``host`` is an IP address already."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _unresolved(host: str, port: int, why: str, code: int | None = None) -> EndpointError:
    return EndpointError(
        f"Endpoint {format_endpoint(host, port)} does not resolve: {why}. Endpoints are looked up outside "
        "the tunnel: check the name and this machine's DNS, or write the peer's IP address.",
        errno=code,
    )
