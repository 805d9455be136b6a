"""One connection to an HTTP proxy."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, cast

from wirewright.proxy.client import Client
from wirewright.proxy.exchange import (
    CloseClient,
    CloseOrigin,
    Connect,
    Exchange,
    Switch,
    ToClient,
    ToOrigin,
)
from wirewright.tunnel.relay import reset

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wirewright.proxy.client import Door
    from wirewright.proxy.exchange import Action
    from wirewright.tunnel.relay import Relay


class HttpClient(Client):
    """Does what an exchange says, until it is over or switched."""

    def __init__(self, door: Door) -> None:
        super().__init__(door)
        self._exchange = Exchange(door.credentials)
        self._origin: _Origin | None = None
        self._early = b""
        self._ended = False
        # Why the client is not read: the exchange needs nothing, the origin takes nothing.
        self._unwanted = False
        self._origin_full = False
        # Why an origin is not read; a connection that is made meanwhile is not told.
        self._client_full = False
        self._resting = True

    def data_received(self, data: bytes) -> None:
        """Parse."""
        if self._unwanted:
            # What was on its way while reading was paused.
            self._early += data
            return
        self._do(self._exchange.from_client(data))

    def eof_received(self) -> bool:
        """Parse the end; an answer may still be under way."""
        self._ended = True
        if not self._unwanted:
            self._do(self._exchange.from_client(b""))
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the origin."""
        if self._origin is not None:
            self._origin.transport.abort()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Read no more of the origin until the client takes what there is."""
        self._client_full = True
        if self._origin is not None:
            self._origin.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        self._client_full = False
        if self._origin is not None:
            self._origin.transport.resume_reading()

    def abort(self) -> None:
        """End now."""
        super().abort()
        if self._origin is not None:
            self._origin.transport.abort()

    # What the origin's connection calls.

    def origin_received(self, origin: _Origin, data: bytes) -> None:
        """Take what the origin sent; nothing is its end."""
        if origin is self._origin:
            self._do(self._exchange.from_origin(data))

    def origin_lost(self, origin: _Origin, error: Exception | None) -> None:
        """Go on without the origin."""
        if origin is self._origin:
            self._origin = None
            self._do(self._exchange.from_origin(b"") if error is None else self._exchange.origin_lost())

    def origin_full(self, *, full: bool) -> None:
        """Read the client, or do not, as the origin takes what it sends."""
        self._origin_full = full
        self._read_or_not()

    # Actions.

    def _do(self, actions: Iterable[Action], relay: Relay | None = None) -> None:
        for action in actions:
            match action:
                case ToClient(data):
                    self.transport.write(data)
                case ToOrigin(data):
                    if self._origin is not None:
                        self._origin.transport.write(data)
                case Connect(host, port):
                    self.task = self.door.crowd.spawn(self._connect(host, port))
                case CloseOrigin():
                    if self._origin is not None:
                        self._origin.transport.close()
                        self._origin = None
                case CloseClient(cut):
                    self._close(cut=cut)
                case Switch(rest):
                    assert relay is not None
                    early = rest + self._early
                    self.hand_over(relay, early, ended=self._ended, full=self._client_full)
        self._after()

    def _after(self) -> None:
        if self.relay is not None or self.transport.is_closing():
            return
        if not self._exchange.reading_client:
            self._unwanted = True
        elif self._unwanted:
            self._unwanted = False
            early, self._early = self._early, b""
            if early:
                self._do(self._exchange.from_client(early))
                return
            if self._ended:
                self._do(self._exchange.from_client(b""))
                return
        self._read_or_not()
        if self._exchange.idle != self._resting:
            self._resting = self._exchange.idle
            self.expect(self.door.limits.rest if self._resting else None)

    def _read_or_not(self) -> None:
        # A transport that was at its end must not be resumed: the stock loops would tell the end again.
        if self._ended or self.transport.is_closing():
            return
        if self._unwanted or self._origin_full:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _close(self, *, cut: bool) -> None:
        counters = self.door.counters
        counters.unauthorised += self._exchange.unauthorised
        counters.malformed += self._exchange.malformed
        if cut:
            reset(self.transport)
        else:
            self.transport.close()

    async def _connect(self, host: str, port: int) -> None:
        if self._exchange.switching:
            await self._switch(host, port)
            return
        origin = _Origin(self)
        try:
            await self.door.tunnel.create_connection(lambda: origin, host, port)
            if origin.transport.is_closing():
                raise ConnectionResetError(errno.ECONNRESET, f"{host} port {port} reset the connection")
        except OSError as error:
            self.door.counters.unreachable += 1
            self._do(self._exchange.unreachable(error))
            return
        self._origin_full = False
        self._origin = origin
        self._do(self._exchange.connected())
        if not self._client_full:
            origin.transport.resume_reading()

    async def _switch(self, host: str, port: int) -> None:
        try:
            relay = await self.connect(host, port)
        except OSError as error:
            self._do(self._exchange.unreachable(error))
            return
        self._do(self._exchange.connected(), relay)


class _Origin(asyncio.Protocol):
    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        # Until the client knows of it: what came before would be lost.
        self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        self._client.origin_received(self, data)

    def eof_received(self) -> bool:
        self._client.origin_received(self, b"")
        return False

    def pause_writing(self) -> None:
        self._client.origin_full(full=True)

    def resume_writing(self) -> None:
        self._client.origin_full(full=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.origin_lost(self, exc)
