"""The demonstration's parent process: what it does through the tunnel, and what it measures."""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from wirewright.demo import http, layout
from wirewright.keys import PublicKey, SecretKey
from wirewright.tunnel import Tunnel

Step = Literal["download", "upload"]
"""A part that takes long enough for a progress bar."""

PINGS = 20


@dataclass(frozen=True)
class Measurement:
    """What the demonstration found."""

    handshake_seconds: float
    round_trip_seconds: float
    megabytes: int
    download_bits_per_second: float
    upload_bits_per_second: float


async def run_demo(megabytes: int, progress: Callable[[Step, int], None]) -> Measurement:
    """Run both processes; ``progress`` learns of each step's bytes as they move."""
    async with _tunnel_to_child() as tunnel:
        began = time.perf_counter()
        await tunnel.wait_for_handshake()
        handshake = time.perf_counter() - began
        round_trip = statistics.median([await tunnel.ping(layout.SERVER) for _ in range(PINGS)])
        length = megabytes * 1_000_000
        place = (layout.SERVER, layout.HTTP_PORT)
        download = await transfer(tunnel, *place, length, lambda count: progress("download", count))
        upload = await transfer(tunnel, *place, length, lambda count: progress("upload", count), upload=True)
    return Measurement(handshake, round_trip, megabytes, length * 8 / download, length * 8 / upload)


async def transfer(
    tunnel: Tunnel,
    host: str,
    port: int,
    length: int,
    moved: Callable[[int], None] = lambda _: None,
    *,
    upload: bool = False,
) -> float:
    """Download ``length`` bytes from an HTTP server behind the tunnel, or upload them; return the seconds."""
    method, target = ("POST", "/") if upload else ("GET", f"/{length}")
    began = time.perf_counter()
    reader, writer = await tunnel.open_connection(host, port)
    try:
        async for count in http.request(reader, writer, method, target, length if upload else 0):
            moved(count)
        return time.perf_counter() - began
    finally:
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def _tunnel_to_child() -> AsyncIterator[Tunnel]:
    """Start the child, exchange keys, and open a tunnel to it; the child ends with it."""
    key = SecretKey.generate()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "wirewright.demo.server",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # An interrupt from the terminal is for the parent; the child ends when its input does.
        start_new_session=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(json.dumps({"public_key": str(key.public_key)}).encode() + b"\n")
        line = await child.stdout.readline()
        if not line:
            raise ConnectionError("the demonstration's second process did not start; see its message above")
        answer = json.loads(line)
        config = layout.configuration(
            key, layout.CLIENT, layout.SERVER, PublicKey.from_base64(answer["public_key"]), answer["port"]
        )
        async with Tunnel(config, listen_address=layout.OUTER) as tunnel:
            yield tunnel
    finally:
        child.stdin.close()
        await child.wait()
