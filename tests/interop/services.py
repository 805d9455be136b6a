"""What both helper processes can do with a network: the kernel's, or a tunnel of ours.

One TCP service for all: the first line of a connection says what is wanted.

    echo            everything comes back
    download SIZE   that many bytes of `payload` come
    upload          the answer is the SHA-256 of everything sent
    stubborn SIZE   as `download`, but nothing is read before all of it was taken; then as `upload`
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import random
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tests.interop.agent import Call

CHUNK = 1 << 16
CALLS = (
    *("serve", "download", "upload", "echo", "stubborn"),
    *("ping", "pings"),
    *("listen_udp", "heard", "udp_echo", "udp_send"),
)


class Network(Protocol):
    """Where connections come from and go to."""

    async def open_connection(
        self, host: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]: ...

    async def start_server(self, handler: Any, port: int) -> int: ...

    async def bind(self, protocol: Any, remote: tuple[str, int] | None) -> tuple[Any, int]: ...

    async def ping(self, host: str, seconds: float) -> float: ...


@functools.cache
def payload(size: int) -> bytes:
    """Bytes that no compression, repetition or reordering leaves as they are; the same in every process."""
    return random.Random(size).randbytes(size)


def digest(data: bytes) -> str:
    """Return what a transfer is compared by."""
    return hashlib.sha256(data).hexdigest()


def calls(network: Network) -> dict[str, Call]:
    """Return the calls that `network` can serve."""
    services = Services(network)
    return {name: getattr(services, name) for name in CALLS}


class Services:
    """Servers and clients over one network."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._udp: dict[int, Echo] = {}

    # TCP

    async def serve(self) -> int:
        """Start the TCP service; returns its port."""
        return await self._network.start_server(self._serve, 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            match (await reader.readline()).split():
                case [b"echo"]:
                    while data := await reader.read(CHUNK):
                        writer.write(data)
                        await writer.drain()
                case [b"download", size]:
                    writer.write(payload(int(size)))
                    await writer.drain()
                case [b"upload"]:
                    writer.write(digest(await reader.read(-1)).encode())
                case [b"stubborn", size]:
                    await asyncio.sleep(0.5)  # Until then the other end has filled the window.
                    writer.transport.set_write_buffer_limits(0)
                    writer.write(payload(int(size)))
                    await writer.drain()
                    writer.write(digest(await reader.read(-1)).encode())
        finally:
            writer.close()
            await writer.wait_closed()

    async def download(self, host: str, port: int, size: int) -> str:
        """Fetch `size` bytes; returns their digest."""
        return digest(await self._talk(host, port, f"download {size}", b""))

    async def upload(self, host: str, port: int, size: int) -> str:
        """Send `size` bytes; returns the digest that the other end made of them."""
        return (await self._talk(host, port, "upload", payload(size))).decode()

    async def echo(self, host: str, port: int, size: int) -> str:
        """Send `size` bytes and take them back at the same time; returns the digest of what came."""
        return digest(await self._talk(host, port, "echo", payload(size)))

    async def stubborn(self, host: str, port: int, size: int) -> list[str]:
        """Send `size` bytes to who takes none before we took as many; returns the digests of both ways."""
        answer = await self._talk(host, port, f"stubborn {size}", payload(size))
        return [digest(answer[:size]), answer[size:].decode()]

    async def _talk(self, host: str, port: int, wish: str, data: bytes) -> bytes:
        reader, writer = await self._network.open_connection(host, port)
        try:
            answer = asyncio.ensure_future(reader.read(-1))
            writer.write(f"{wish}\n".encode())
            for start in range(0, len(data), CHUNK):
                writer.write(data[start : start + CHUNK])
                await writer.drain()
            writer.write_eof()
            return await answer
        finally:
            writer.close()
            await writer.wait_closed()

    # ICMP

    async def ping(self, host: str, seconds: float = 10.0) -> float:
        """Return the round trip in seconds."""
        return await self._network.ping(host, seconds)

    async def pings(
        self, host: str, duration: float, interval: float, patience: float = 5.0
    ) -> list[float | None]:
        """Ping steadily for `duration` seconds; returns every round trip, None for each that failed."""
        end = time.monotonic() + duration
        running = []
        while time.monotonic() < end:
            running.append(asyncio.create_task(self._network.ping(host, patience)))
            await asyncio.sleep(interval)
        outcomes = await asyncio.gather(*running, return_exceptions=True)
        return [outcome if isinstance(outcome, float) else None for outcome in outcomes]

    # UDP

    async def listen_udp(self, echo: bool = True) -> int:
        """Start a UDP server that sends back what comes, or only counts it; returns its port."""
        protocol = Echo(echo)
        _, port = await self._network.bind(lambda: protocol, None)
        self._udp[port] = protocol
        return port

    async def heard(self, port: int) -> int:
        """Return how many datagrams came to that server."""
        return self._udp[port].heard

    async def udp_echo(self, host: str, port: int, sizes: Sequence[int]) -> list[int]:
        """Send a datagram of each size to an echo server; returns the sizes that came back unharmed."""
        protocol = Expecting({payload(size): size for size in sizes})
        transport, _ = await self._network.bind(lambda: protocol, (host, port))
        try:
            for size in sizes:
                transport.sendto(payload(size))
            async with asyncio.timeout(10):
                await protocol.complete.wait()
        except TimeoutError:
            pass
        finally:
            transport.close()
        return sorted(protocol.came)

    async def udp_send(self, host: str, port: int, duration: float, interval: float) -> int:
        """Send a datagram every `interval` seconds and listen to nothing; returns how many were sent."""
        transport, _ = await self._network.bind(asyncio.DatagramProtocol, (host, port))
        end = time.monotonic() + duration
        sent = 0
        try:
            while time.monotonic() < end:
                transport.sendto(payload(64))
                sent += 1
                await asyncio.sleep(interval)
        finally:
            transport.close()
        return sent


class Echo(asyncio.DatagramProtocol):
    """Counts datagrams and, if asked to, sends them back."""

    def __init__(self, answer: bool) -> None:
        self.heard = 0
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.heard += 1
        if self._answer:
            self._transport.sendto(data, addr)


class Expecting(asyncio.DatagramProtocol):
    """Waits until each of some datagrams came."""

    def __init__(self, sizes: dict[bytes, int]) -> None:
        self.came: list[int] = []
        self.complete = asyncio.Event()
        self._sizes = sizes

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if (size := self._sizes.pop(data, None)) is not None:
            self.came.append(size)
        if not self._sizes:
            self.complete.set()
