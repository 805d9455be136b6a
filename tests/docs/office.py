"""The private network that the documentation's examples reach: a tunnel with a few services behind it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset

from tests.tunnel.certificates import self_signed, serving
from wirewright import Config, PresharedKey, SecretKey, Tunnel
from wirewright.config import Endpoint, Interface, Peer

NAME = "intranet.example"
OFFICE_V4, OFFICE_V6 = "10.0.0.1", "fd00::1"
VISITOR_V4, VISITOR_V6 = "10.0.0.2", "fd00::2"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Office:
    """What a visitor needs: a configuration, and the certificate to trust."""

    config: Config
    certificate: bytes

    def furnish(self, folder: Path) -> None:
        """Put the files that the examples name into a folder."""
        self.config.write(folder / "office.conf")
        (folder / "office.pem").write_bytes(self.certificate)


@contextmanager
def open_office() -> Iterator[Office]:
    """Keep the office open, in a thread."""
    ready: Future[Office] = Future()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def main() -> None:
        async with AsyncExitStack() as stack:
            ready.set_result(await _furnished(stack))
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    try:
        yield ready.result(20)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def _furnished(stack: AsyncExitStack) -> Office:
    office_key, visitor_key, shared = SecretKey.generate(), SecretKey.generate(), PresharedKey.generate()
    visitors = (ip_network(f"{VISITOR_V4}/32"), ip_network(f"{VISITOR_V6}/128"))
    own = (ip_interface(f"{OFFICE_V4}/24"), ip_interface(f"{OFFICE_V6}/64"))
    config = Config(
        Interface(private_key=office_key, addresses=own),
        (Peer(visitor_key.public_key, preshared_key=shared, allowed_ips=visitors),),
    )
    tunnel = await stack.enter_async_context(Tunnel(config, listen_address="127.0.0.1"))
    certificate, secret = self_signed(NAME, OFFICE_V4)
    tls = serving(certificate, secret)
    await tunnel.start_server(_page, port=80)
    await tunnel.start_server(_page, port=443, ssl=tls)
    await tunnel.start_server(_echo, port=7)
    await tunnel.create_datagram_endpoint(_Names, local_addr=(None, 53))
    await tunnel.create_datagram_endpoint(_Echo, local_addr=(None, 7))
    visitor = Config(
        Interface(
            private_key=visitor_key,
            addresses=(ip_interface(f"{VISITOR_V4}/24"), ip_interface(f"{VISITOR_V6}/64")),
            dns=(ip_address(OFFICE_V4), "example"),
        ),
        (
            Peer(
                office_key.public_key,
                preshared_key=shared,
                allowed_ips=(ip_network("10.0.0.0/24"), ip_network("fd00::/64")),
                endpoint=Endpoint("127.0.0.1", tunnel.listen_port),
            ),
        ),
    )
    return Office(visitor, certificate)


async def _page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nwelcome\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # an example may only look whether it could ask
    finally:
        writer.close()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # an example may end in the middle
    finally:
        writer.close()


class _Echo(asyncio.DatagramProtocol):
    transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.transport.sendto(data, addr)


class _Names(_Echo):
    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        answer = dns.message.make_response(query)
        found = {dns.rdatatype.A: OFFICE_V4, dns.rdatatype.AAAA: OFFICE_V6}.get(question.rdtype)
        if question.name.to_text() != f"{NAME}.":
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif found:
            kind = dns.rdatatype.to_text(question.rdtype)
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, found))
        self.transport.sendto(answer.to_wire(), addr)
