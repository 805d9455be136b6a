"""The process under test: a tunnel of ours where no capability is left."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Any

from tests.interop import agent, services
from wirewright import Config, Tunnel
from wirewright.tunnel import Timeouts

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000


class TunnelNetwork:
    """The network behind a tunnel; there is one tunnel at a time."""

    def __init__(self) -> None:
        self._tunnel: Tunnel | None = None
        self._servers: list[Any] = []

    @property
    def tunnel(self) -> Tunnel:
        """The open tunnel."""
        assert self._tunnel is not None
        return self._tunnel

    # What the services stand on.

    async def open_connection(
        self, host: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await self.tunnel.open_connection(host, port)

    async def start_server(self, handler: Any, port: int) -> int:
        server = await self.tunnel.start_server(handler, port)
        self._servers.append(server)
        return server.port

    async def bind(self, protocol: Any, remote: tuple[str, int] | None) -> tuple[Any, int]:
        transport, _ = await self.tunnel.create_datagram_endpoint(protocol, remote_addr=remote)
        return transport, int(transport.get_extra_info("sockname")[1])

    async def ping(self, host: str, seconds: float) -> float:
        return await self.tunnel.ping(host, timeout=seconds)

    # Calls of their own.

    async def open(self, config: str, shards: int = 1, timeouts: dict[str, float] | None = None) -> int:
        """Open a tunnel from the text of a configuration; returns its outer port."""
        limits = Timeouts(**(timeouts or {}))
        tunnel = Tunnel(Config.loads(config), shards=shards, timeouts=limits)
        await tunnel.open()
        self._tunnel = tunnel
        return tunnel.listen_port

    async def close(self) -> None:
        """Close the tunnel, if one is open."""
        if self._tunnel is not None:
            await self._tunnel.close()
            self._tunnel = None

    async def handshake(self, seconds: float | None = None) -> None:
        """Wait for a session with the one peer."""
        await self.tunnel.wait_for_handshake(timeout=seconds)

    async def stats(self) -> dict[str, Any]:
        """Return what the tunnel counts."""
        stats = self.tunnel.stats()
        peers = [
            {
                **{field.name: getattr(peer, field.name) for field in dataclasses.fields(peer)},
                "public_key": str(peer.public_key),
                "counters": dict(peer.counters),
            }
            for peer in stats.peers
        ]
        return {"counters": dict(stats.counters), "netstack": dict(stats.netstack), "peers": peers}

    async def http_get(self, host: str, port: int, path: str) -> dict[str, Any]:
        """Fetch a page; returns its status line and the digest of its body."""
        reader, writer = await self.tunnel.open_connection(host, port)
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return {"status": head.splitlines()[0].decode(), "digest": services.digest(body)}


def capabilities() -> int:
    """Return the capabilities that this process has, or can hand on."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return int(fields["CapPrm"], 16) | int(fields["CapEff"], 16) | int(fields["CapInh"], 16)


def tun_error() -> str | None:
    """Return why no TUN can be opened here, or None if one can."""
    try:
        descriptor = os.open("/dev/net/tun", os.O_RDWR)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    try:
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", b"", IFF_TUN | IFF_NO_PI))
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    finally:
        os.close(descriptor)
    return None


async def main() -> None:
    """Serve calls; no test goes on if this process has more rights than it should."""
    hello = {"capabilities": capabilities(), "tun_error": tun_error()}
    network = TunnelNetwork()
    own = {name: getattr(network, name) for name in ("open", "close", "handshake", "stats", "http_get")}
    try:
        await agent.serve({**services.calls(network), **own}, hello)
    finally:
        await network.close()


if __name__ == "__main__":
    asyncio.run(main())
