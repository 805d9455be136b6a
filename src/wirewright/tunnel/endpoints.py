"""Endpoints: host names of the outer network, resolved by the system before a tunnel can exist.

The system's resolver blocks, so the loop asks it in a thread. A temporary failure (no network yet, the
resolver is busy) is tried again, as ``wg`` does; a name that does not exist is an error at once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING

from wirewright.config.values import host_and_port
from wirewright.tunnel.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Lookup = Callable[[asyncio.AbstractEventLoop, str, socket.AddressFamily], Awaitable[list[str]]]

FIRST_RETRY = 0.5
# A name that is wrong stays wrong; these may pass.
_TEMPORARY = frozenset({socket.EAI_AGAIN, getattr(socket, "EAI_SYSTEM", socket.EAI_AGAIN)})


async def system_lookup(
    loop: asyncio.AbstractEventLoop, host: str, family: socket.AddressFamily
) -> list[str]:
    """Ask the system's resolver; the addresses come in the order in which they should be tried."""
    infos = await loop.getaddrinfo(host, None, family=family, type=socket.SOCK_DGRAM)
    return [str(info[4][0]) for info in infos if info[0] in {socket.AF_INET, socket.AF_INET6}]


async def resolve_endpoint(
    loop: asyncio.AbstractEventLoop,
    endpoint: tuple[str, int],
    patience: float,
    family: socket.AddressFamily = socket.AF_UNSPEC,
    lookup: Lookup | None = None,
) -> tuple[str, int]:
    """Return the endpoint with an IP address as its host, or raise ``EndpointError``.

    Patience is in seconds; ``family`` is the one that the outer socket can reach.
    """
    host, port = endpoint
    if is_literal(host):
        return _checked(host, port, host)
    failure: tuple[str, int | None] = f"this machine's resolver did not answer within {patience:g} s", None
    delay = FIRST_RETRY
    try:
        async with asyncio.timeout(patience):
            while True:
                try:
                    found = await (lookup or system_lookup)(loop, host, family)
                except socket.gaierror as error:
                    failure = error.strerror or str(error), error.errno
                    if error.errno not in _TEMPORARY:
                        break
                else:
                    if found:
                        return _checked(host, port, found[0])
                    failure = "it has no IP address", None
                    break
                await asyncio.sleep(delay)
                delay *= 2
    except UnicodeError as error:
        failure = f"it is not a host name ({error})", None
    except TimeoutError:
        # The last failure says more than that time is up.
        pass
    raise _unresolved(host, port, *failure)


def endpoint_family(listen_address: str | None) -> socket.AddressFamily:
    """Return the family of outer addresses that a socket bound to ``listen_address`` reaches."""
    if listen_address is None or ipaddress.ip_address(listen_address).is_unspecified:
        return socket.AF_UNSPEC
    return socket.AF_INET6 if ":" in listen_address else socket.AF_INET


def _checked(host: str, port: int, address: str) -> tuple[str, int]:
    if "%" in address:
        raise EndpointError(
            f"Endpoint {host_and_port(host, port)} is link-local ({address}), which a rootless tunnel "
            "cannot reach: give the peer an address with a wider scope."
        )
    return address, port


def is_literal(host: str) -> bool:
    """Whether ``host`` is an IP address already."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _unresolved(host: str, port: int, why: str, code: int | None = None) -> EndpointError:
    return EndpointError(
        f"Endpoint {host_and_port(host, port)} does not resolve: {why}. Endpoints are looked up outside "
        "the tunnel: check the name and this machine's DNS, or write the peer's IP address.",
        errno=code,
    )
