"""The process behind wireguard-go: a network namespace of its own, and the kernel's servers and clients.

The namespace has no name and no other process: it ends with this one.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.interop import agent, services

PING_SOCKETS = Path("/proc/sys/net/ipv4/ping_group_range")


class KernelNetwork:
    """The kernel's own stack in this namespace."""

    def __init__(self) -> None:
        self._sequence = itertools.count(1)

    async def open_connection(
        self, host: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(host, port)

    async def start_server(self, handler: Any, port: int) -> int:
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        await asyncio.start_server(handler, sock=listener)
        return int(listener.getsockname()[1])

    async def bind(self, protocol: Any, remote: tuple[str, int] | None) -> tuple[Any, int]:
        loop = asyncio.get_running_loop()
        if remote is not None:
            transport, _ = await loop.create_datagram_endpoint(protocol, remote_addr=remote)
        else:
            sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind(("::", 0))
            transport, _ = await loop.create_datagram_endpoint(protocol, sock=sock)
        return transport, int(transport.get_extra_info("sockname")[1])

    async def ping(self, host: str, seconds: float) -> float:
        family, request, protocol = (
            (socket.AF_INET6, 128, socket.IPPROTO_ICMPV6)
            if ":" in host
            else (socket.AF_INET, 8, socket.IPPROTO_ICMP)
        )
        # The kernel fills in identifier and checksum.
        echo = struct.pack("!BBHHH", request, 0, 0, 0, next(self._sequence)) + services.payload(48)
        loop = asyncio.get_running_loop()
        with socket.socket(family, socket.SOCK_DGRAM, protocol) as sock:
            sock.setblocking(False)
            sock.connect((host, 0))
            began = time.monotonic()
            await loop.sock_sendall(sock, echo)
            async with asyncio.timeout(seconds):
                while (await loop.sock_recv(sock, 2048))[6:] != echo[6:]:
                    pass
            return time.monotonic() - began

    async def serve_http(self) -> int:
        """Start a web server whose page /SIZE is that many bytes; returns its port."""
        server = WebServer(("::", 0), Page)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_port


class WebServer(ThreadingHTTPServer):
    """For both families."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class Page(BaseHTTPRequestHandler):
    """Answers /SIZE with so many bytes."""

    def do_GET(self) -> None:
        body = services.payload(int(self.path[1:]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


async def main() -> None:
    """Serve calls."""
    network = KernelNetwork()
    await agent.serve({**services.calls(network), "serve_http": network.serve_http}, {})


if __name__ == "__main__":
    PING_SOCKETS.write_text("0 0", encoding="ascii")
    asyncio.run(main())
