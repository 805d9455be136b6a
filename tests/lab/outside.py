"""A network namespace for the thread of a test, with addresses that stand for what is outside.

Sockets belong to the namespace of the thread that makes them, as do threads that it begins; so a gateway and
its peers run in the process of the test, and nothing of this machine is touched.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import threading
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wirewright.confine import calls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

HERE, HERE6 = "198.51.100.1", "2001:db8:1::1"
"""Addresses of this host's own."""
SILENT = "198.51.100.99"
"""Somebody who never answers."""
UNREACHABLE, PROHIBITED = "203.0.113.1", "203.0.113.129"
"""What the host has no way to, and what it forbids."""

TURNS = 10
"""Of an event loop, after which all that follows at once from an event is done."""

_SETUP = f"""
ip link set lo up
ip address add {HERE}/32 dev lo
ip address add {HERE6}/128 dev lo nodad
ip link add silent type veth peer name ignored
ip link set ignored up
ip link set silent arp off up
ip route add {SILENT} dev silent
ip route add unreachable {UNREACHABLE}
ip route add prohibit {PROHIBITED}
sysctl -qw net.ipv4.ping_group_range="0 2147483647"
"""

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def fresh_network() -> Iterator[None]:
    """Move the calling thread to a network of its own, and back."""
    before = os.open(
        f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net", os.O_RDONLY | os.O_CLOEXEC
    )
    try:
        calls.unshare(calls.CLONE_NEWNET)
        subprocess.run(["sh", "-ec", _SETUP], check=True)
        yield
    finally:
        if _libc.setns(before, calls.CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "could not go back to the network of before")
        os.close(before)


def sysctl(name: str, value: str) -> None:
    """Set a number of the network that the calling thread is in."""
    Path("/proc/sys", *name.split(".")).write_text(value)


@asynccontextmanager
async def serving(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], host: str = HERE
) -> AsyncIterator[int]:
    """Serve TCP as any program of this host would, and give the port. What was accepted ends with it."""
    accepted: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        await handler(reader, writer)

    server = await asyncio.start_server(handle, host, 0)
    try:
        async with server:
            yield server.sockets[0].getsockname()[1]
            # What the loop has just taken is known after four turns of it. If the server is closed before, or
            # nobody ends what it took, Python 3.11 leaves that to whoever runs when it is collected.
            await _turns(TURNS)
    finally:
        for writer in accepted:
            writer.transport.abort()
        await _turns(TURNS)


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
