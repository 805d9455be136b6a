"""Names to addresses, asked of the configuration's DNS servers through the tunnel and of nobody else.

The system's resolver is never asked: it would tell the outer network which private names this program looks
for, and it would answer with addresses of the wrong network.
"""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver

from wirewright.tunnel.dns_backend import TunnelBackend
from wirewright.tunnel.errors import (
    NameNotFoundError,
    NoNameserverError,
    ResolutionError,
    ResolutionTimeoutError,
    TunnelError,
)
from wirewright.tunnel.peers import no_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wirewright.config import Interface
    from wirewright.tunnel.arguments import Address
    from wirewright.tunnel.context import Context

# How long one server has for one answer before the next is asked.
ATTEMPT_SECONDS = 2.0
_TYPES = {4: dns.rdatatype.A, 6: dns.rdatatype.AAAA}


class TunnelResolver:
    """Resolves names as a program behind the tunnel would see them."""

    def __init__(self, context: Context, interface: Interface) -> None:
        """Ask the DNS servers of ``interface``, for addresses of the families that it has itself."""
        self._context = context
        self._servers = interface.dns_servers
        self._families = sorted({address.version for address in interface.addresses}, reverse=True)
        self._backend = TunnelBackend(context)
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers = [str(server) for server in self._servers]
        self._resolver.search = [dns.name.from_text(domain) for domain in interface.search_domains]
        self._resolver.use_search_by_default = True
        self._resolver.timeout = ATTEMPT_SECONDS
        self._resolver.lifetime = context.timeouts.resolve

    async def resolve(self, host: str) -> list[Address]:
        """Return the addresses of a name, those to try first in front."""
        name = self._parsed(host)
        if not self._servers:
            raise NoNameserverError(
                f"{host!r} is a name, and the configuration has no DNS server to ask inside the tunnel. Add "
                "one (DNS = 10.0.0.1) or use an IP address. The system's resolver is not asked, because that "
                "would show the name to the network outside."
            )
        answers = await self._ask_all(name, host)
        # Alternating families, IPv6 first (RFC 8305 section 4).
        mixed = chain.from_iterable(zip_longest(*answers))
        addresses = [address for address in mixed if address is not None]
        if not addresses:
            kinds = " or ".join(f"IPv{family}" for family in self._families)
            raise NameNotFoundError(
                f"{host!r} exists, but has no {kinds} address that this tunnel could use."
            )
        return addresses

    def _parsed(self, host: str) -> dns.name.Name:
        if host.rstrip(".").lower() == "localhost" or host.rstrip(".").lower().endswith(".localhost"):
            # RFC 6761 section 6.3: this name is never asked of a server.
            raise NameNotFoundError(f"{host!r} is this machine, which is not behind the tunnel.")
        try:
            name = dns.name.from_text(host, origin=None)
        except (dns.exception.DNSException, UnicodeError) as error:
            raise NameNotFoundError(f"{host!r} is not a host name: {error}") from None
        if len(name) == 0 or name == dns.name.root:
            raise NameNotFoundError(f"{host!r} is not a host name: it is empty.")
        if any(character.isspace() for character in host):
            raise NameNotFoundError(f"{host!r} is not a host name: there is white space in it.")
        if host.rstrip(".").rpartition(".")[2].isdecimal():
            raise NameNotFoundError(
                f"{host!r} is neither an IP address nor a name, which cannot end in a number."
            )
        return name

    async def _ask_all(self, name: dns.name.Name, host: str) -> list[list[IPv4Address | IPv6Address]]:
        peers = self._context.peers
        heard = [peers.listen(peer) for server in self._servers if (peer := peers.find(server))]
        asked = [self._context.loop.create_task(self._ask(name, family)) for family in self._families]
        try:
            results = await asyncio.gather(*asked, return_exceptions=True)
        finally:
            for task in asked:
                task.cancel()
        answers = [result for result in results if isinstance(result, list)]
        failures = [result for result in results if isinstance(result, Exception)]
        # One family without an answer is no obstacle if the other has one.
        if failures and not any(answers):
            raise self._explained(failures[0], host, heard)
        return answers

    async def _ask(self, name: dns.name.Name, family: int) -> list[IPv4Address | IPv6Address]:
        answer = await self._resolver.resolve(
            name, _TYPES[family], raise_on_no_answer=False, backend=self._backend
        )
        return [ip_address(record.address) for record in answer]

    def _explained(  # noqa: PLR0911 (one a case)
        self, error: Exception, host: str, heard: Sequence[Callable[[], bool]]
    ) -> Exception:
        servers = ", ".join(map(str, self._servers))
        if self._context.reason is not None or self._context.core.closed:
            return self._context.closed_error()
        match error:
            case dns.resolver.NXDOMAIN():
                tried = ", ".join(name.to_text() for name in error.kwargs["qnames"])
                return NameNotFoundError(
                    f"{host!r} does not exist, says the tunnel's DNS ({servers}); asked: {tried}"
                )
            case dns.resolver.NoNameservers():
                reasons = "; ".join(f"{each[0]}: {_reason(each[3])}" for each in error.kwargs["errors"])
                return ResolutionError(f"{host!r} cannot be resolved inside the tunnel. {reasons}")
            case dns.resolver.LifetimeTimeout():
                return self._silence(host, servers, heard=any(was() for was in heard))
            case TunnelError():
                return error
            case dns.exception.DNSException():
                return ResolutionError(f"{host!r} cannot be resolved inside the tunnel: {error}")
            case _:
                return error

    def _silence(self, host: str, servers: str, *, heard: bool) -> OSError:
        peers = self._context.peers
        limit = self._context.timeouts.resolve
        for server in self._servers:
            try:
                peer = peers.owner(server, f"DNS server {server}")
            except TunnelError as error:
                return error
            if not peers.has_session(peer):
                return no_answer(peer, limit)
        meanwhile = (
            "though the tunnel works" if heard else "and nothing else came through the tunnel in that time"
        )
        return ResolutionTimeoutError(
            f"{host!r} was not resolved: {servers} did not answer within {limit:g} s, {meanwhile}. Is that "
            "the right DNS server, is it up, and does it let this tunnel's address in?"
        )


def _reason(error: object) -> str:
    return f"answered {error}" if isinstance(error, str) else str(error)
