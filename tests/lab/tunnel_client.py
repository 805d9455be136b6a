"""Runs in a host of a lab: a device with a rootless tunnel, which asks as each line of its input says.

The first line is its configuration as a JSON string. Then ``["tcp" | "udp", HOST, PORT, SIZE, SECONDS]`` and
``["ping", HOST, SIZE, SECONDS]`` are answered by ``yes`` or ``no``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from wirewright import Config, Tunnel


class Answers(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.came: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not self.came.done():
            self.came.set_result(len(data))


async def tcp(tunnel: Tunnel, host: str, port: int, size: int) -> bool:
    reader, writer = await tunnel.open_connection(host, port)
    try:
        writer.write(bytes(size))
        return len(await reader.readexactly(size)) == size
    finally:
        writer.close()


async def udp(tunnel: Tunnel, host: str, port: int, size: int) -> bool:
    transport, answers = await tunnel.create_datagram_endpoint(Answers, remote_addr=(host, port))
    try:
        transport.sendto(bytes(size))
        return await answers.came == size
    finally:
        transport.close()


async def ping(tunnel: Tunnel, host: str, size: int) -> bool:
    await tunnel.ping(host, payload=size)
    return True


async def answer(tunnel: Tunnel, kind: str, *words: Any) -> str:
    *arguments, seconds = words
    try:
        async with asyncio.timeout(seconds):
            if kind == "ping":
                done = await ping(tunnel, *arguments)
            else:
                done = await (tcp if kind == "tcp" else udp)(tunnel, *arguments)
    except OSError:
        return "no"
    return "yes" if done else "no"


async def main() -> None:
    text = json.loads(await asyncio.to_thread(sys.stdin.readline))
    async with Tunnel(Config.loads(text)) as tunnel:
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(await answer(tunnel, *json.loads(line)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
