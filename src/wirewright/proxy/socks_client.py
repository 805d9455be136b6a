"""One connection to a SOCKS proxy."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from wirewright.proxy.association import Association
from wirewright.proxy.client import Client
from wirewright.proxy.socks5 import Command, Failure, Negotiation, Reply, reply

if TYPE_CHECKING:
    from wirewright.proxy.client import Door
    from wirewright.proxy.socks5 import Request


class SocksClient(Client):
    """Negotiates, then connects, or keeps an association for as long as the connection lasts."""

    def __init__(self, door: Door) -> None:
        super().__init__(door)
        self._negotiation = Negotiation(door.credentials)
        self._early = b""
        self._ended = False
        self._association: Association | None = None

    def data_received(self, data: bytes) -> None:
        """Go on with the negotiation."""
        if (request := self._negotiation.request) is not None:
            # The connection of an association is read for its end only.
            if request.command is Command.CONNECT:
                self._early += data
                self.transport.pause_reading()
            return
        if self._negotiation.over:
            return
        if answer := self._negotiation.feed(data):
            self.transport.write(answer)
        if self._negotiation.failure is not None:
            self._count(self._negotiation.failure)
            self.expect(None)
            self.transport.close()
        elif (request := self._negotiation.request) is not None:
            self.expect(None)
            self._early = self._negotiation.rest
            work = self._connect if request.command is Command.CONNECT else self._associate
            self.task = self.door.crowd.spawn(work(request))

    def eof_received(self) -> bool:
        """Keep the end in mind, if the connection is of use all the same."""
        self._ended = True
        request = self._negotiation.request
        return request is not None and request.command is Command.CONNECT

    def connection_lost(self, exc: Exception | None) -> None:
        """End the association with its connection."""
        if self._association is not None:
            self._association.close()
            self.door.associations -= 1
        super().connection_lost(exc)

    async def _connect(self, request: Request) -> None:
        try:
            relay = await self.connect(request.host, request.port)
        except OSError as error:
            self.transport.write(reply(_code(error)))
            self.transport.close()
            return
        assert relay.inner is not None
        self.transport.write(reply(Reply.SUCCEEDED, *relay.inner.get_extra_info("sockname")))
        self.hand_over(relay, self._early, ended=self._ended)
        self._early = b""

    async def _associate(self, request: Request) -> None:
        if self.door.associations >= self.door.limits.associations:
            self.door.counters.associations_refused += 1
            self._close_with(Reply.NOT_ALLOWED)
            return
        self.door.associations += 1
        self._association = Association(self.door, self.transport, request.port)
        try:
            where = await self._association.open()
        except OSError:
            self.door.counters.associations_refused += 1
            self._close_with(Reply.GENERAL_FAILURE)
            return
        self.transport.write(reply(Reply.SUCCEEDED, *where))

    def _close_with(self, code: Reply) -> None:
        self.transport.write(reply(code))
        self.transport.close()

    def _count(self, failure: Failure) -> None:
        if failure in {Failure.METHOD, Failure.CREDENTIALS}:
            self.door.counters.unauthorised += 1
        else:
            self.door.counters.malformed += 1


_REPLIES = {
    errno.ECONNREFUSED: Reply.CONNECTION_REFUSED,
    errno.ENETUNREACH: Reply.NETWORK_UNREACHABLE,
    errno.EDESTADDRREQ: Reply.NETWORK_UNREACHABLE,
    errno.EHOSTUNREACH: Reply.HOST_UNREACHABLE,
    errno.ETIMEDOUT: Reply.TTL_EXPIRED,
}


def _code(error: OSError) -> Reply:
    # Errors of names have numbers of their own, all of which are negative.
    if error.errno is not None and error.errno < 0:
        return Reply.HOST_UNREACHABLE
    return _REPLIES.get(error.errno or 0, Reply.GENERAL_FAILURE)
