"""A UDP association (RFC 1928 section 7): a socket here for one client, and one in the tunnel.

Datagrams go to addresses and to names; a name is asked of the tunnel's DNS, and its datagrams wait for the
answer. Whoever in the tunnel sends to the inner socket is heard, as behind an endpoint-independent NAT
(RFC 4787 section 4.1). Here only one source is heard: the address that the connection of the association
comes from, with the port that the client announced or else first sent from.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, cast

from wirewright.proxy.socks5_datagrams import DatagramError, FragmentError, unwrap, wrap
from wirewright.tunnel.arguments import literal

if TYPE_CHECKING:
    from wirewright.proxy.client import Door
    from wirewright.tunnel.datagrams import TunnelDatagramTransport

# Names whose addresses are known, and for how many seconds; names that are being asked, and datagrams that
# wait for that.
NAMES = 64
NAME_SECONDS = 60.0
QUESTIONS = 16
WAITING = 64


class Association:
    """One client's way to UDP behind the tunnel."""

    def __init__(self, door: Door, control: asyncio.Transport, port: int) -> None:
        """Prepare for the client of ``control``, who sends from ``port``; 0 is unknown yet."""
        self._door = door
        self._counters = door.counters
        self._here: str = control.get_extra_info("sockname")[0]
        self._client: tuple[str, int] = (control.get_extra_info("peername")[0], port)
        self._outer: asyncio.DatagramTransport | None = None
        self._inner: TunnelDatagramTransport | None = None
        self._names: dict[str, tuple[str | None, float]] = {}
        self._waiting: dict[str, list[tuple[int, bytes]]] = {}
        self._closed = False
        # Whether the client's socket takes nothing: what comes then is dropped.
        self.full = False

    async def open(self) -> tuple[str, int]:
        """Make both sockets; return where the client is to send to."""
        loop = asyncio.get_running_loop()
        try:
            self._inner, _ = await self._door.tunnel.create_datagram_endpoint(lambda: _Inner(self))
            outer, _ = await loop.create_datagram_endpoint(lambda: _Outer(self), (self._here, 0))
        except BaseException:
            self.close()
            raise
        name = outer.get_extra_info("sockname")
        return name[0], name[1]

    def outer_made(self, transport: asyncio.DatagramTransport) -> None:
        """Own the client's socket, also if nobody waits for it any more."""
        self._outer = transport
        if self._closed:
            transport.abort()

    def close(self) -> None:
        """Close both sockets."""
        self._closed = True
        self._waiting.clear()
        for transport in (self._outer, self._inner):
            if transport is not None:
                transport.abort()

    # From the client.

    def from_client(self, datagram: bytes, source: tuple[str, int]) -> None:
        """Send on what the client sent."""
        host, port = self._client
        if source[0] != host or port not in {0, source[1]}:
            self._counters.foreign_dropped += 1
            return
        try:
            to, to_port, data = unwrap(datagram)
        except FragmentError:
            self._counters.fragments_dropped += 1
            return
        except DatagramError:
            self._counters.malformed_dropped += 1
            return
        self._client = source[:2]
        if literal(to) is not None:
            self._send(to, to_port, data)
        else:
            self._send_to_name(to, to_port, data)

    def _send_to_name(self, name: str, port: int, data: bytes) -> None:
        address, until = self._names.get(name, (None, 0.0))
        if time.monotonic() < until:
            if address is None:
                self._counters.unresolved_dropped += 1
            else:
                self._send(address, port, data)
            return
        asked = name in self._waiting
        if (not asked and len(self._waiting) >= QUESTIONS) or sum(
            map(len, self._waiting.values())
        ) >= WAITING:
            self._counters.unresolved_dropped += 1
            return
        self._waiting.setdefault(name, []).append((port, data))
        if not asked:
            self._door.crowd.spawn(self._ask(name))

    async def _ask(self, name: str) -> None:
        try:
            address = str(await self._door.tunnel.reachable(name))
        except OSError:
            address = None
        waiting = self._waiting.pop(name, [])
        if self._closed:
            return
        if len(self._names) >= NAMES:
            del self._names[next(iter(self._names))]
        self._names.pop(name, None)
        self._names[name] = (address, time.monotonic() + NAME_SECONDS)
        if address is None:
            self._counters.unresolved_dropped += len(waiting)
            return
        for port, data in waiting:
            self._send(address, port, data)

    def _send(self, address: str, port: int, data: bytes) -> None:
        if self._inner is None or self._inner.is_closing():
            return
        before = self._inner.dropped
        self._inner.sendto(data, (address, port))
        if self._inner.dropped > before:
            self._counters.unsendable_dropped += 1
        else:
            self._counters.datagrams_out += 1

    def unsendable(self) -> None:
        """Count a datagram that the tunnel did not take."""
        self._counters.datagrams_out -= 1
        self._counters.unsendable_dropped += 1

    # To the client.

    def from_tunnel(self, data: bytes, source: tuple[str, int]) -> None:
        """Give the client what came for it."""
        outer = self._outer
        if outer is None or outer.is_closing() or not self._client[1]:
            return
        if self.full:
            self._counters.unsendable_dropped += 1
            return
        self._counters.datagrams_in += 1
        outer.sendto(wrap(*source, data), self._client)


class _Outer(asyncio.DatagramProtocol):
    def __init__(self, association: Association) -> None:
        self._association = association

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._association.outer_made(cast("asyncio.DatagramTransport", transport))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._association.from_client(data, addr)

    def pause_writing(self) -> None:
        self._association.full = True

    def resume_writing(self) -> None:
        self._association.full = False


class _Inner(asyncio.DatagramProtocol):
    def __init__(self, association: Association) -> None:
        self._association = association

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._association.from_tunnel(data, addr)

    def error_received(self, exc: Exception) -> None:
        self._association.unsendable()
