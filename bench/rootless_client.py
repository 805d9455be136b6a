"""One download through a rootless tunnel, measured; the task comes as JSON on the standard input."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

CHUNK = 1 << 18


async def wirewright(task: dict[str, Any]) -> tuple[float, float]:
    """Download with asyncio streams over a Tunnel."""
    from wirewright import Config, Tunnel  # noqa: PLC0415 (only the client measured is loaded)

    config = Config.loads(
        f"[Interface]\nPrivateKey = {task['private_key']}\nAddress = {task['address']}/32\n"
        f"[Peer]\nPublicKey = {task['peer_key']}\nEndpoint = {task['endpoint']}\nAllowedIPs = 10.77.0.1/32\n"
    )
    async with Tunnel(config) as tunnel:
        reader, writer = await tunnel.open_connection(*task["server"], limit=1 << 20)
        began, cpu = time.perf_counter(), time.process_time()
        writer.write(task["bytes"].to_bytes(8))
        left = task["bytes"]
        while left > 0:
            left -= len(await reader.read(CHUNK))
        measured = time.perf_counter() - began, time.process_time() - cpu
        writer.close()
        await writer.wait_closed()
    return measured


def wireguard_requests(task: dict[str, Any]) -> tuple[float, float]:
    """Download with wireguard-requests' own stream, without its socket emulation on top."""
    from wireguard_requests import _native  # noqa: PLC0415

    peer = _native.WgPeer(task["peer_key"], task["endpoint"], ["10.77.0.1/32"])
    tunnel = _native.WgTunnel(_native.WgConfig(task["private_key"], task["address"], [peer], prefix_len=32))
    stream = tunnel.create_stream(*task["server"])
    began, cpu = time.perf_counter(), time.process_time()
    stream.sendall(task["bytes"].to_bytes(8))
    left = task["bytes"]
    while left > 0:
        left -= len(stream.recv(CHUNK))
    measured = time.perf_counter() - began, time.process_time() - cpu
    stream.close()
    tunnel.close()
    return measured


def main() -> None:
    """Run the task."""
    task = json.load(sys.stdin)
    seconds, cpu = (
        asyncio.run(wirewright(task)) if task["client"] == "wirewright" else wireguard_requests(task)
    )
    print(json.dumps({"seconds": seconds, "cpu": cpu}))


if __name__ == "__main__":
    main()
