"""The processes of `bench_flooded_tunnel`: who sends, who downloads, and who floods.

Each reads its task as a line of JSON from the standard input, and then commands, one a line; it answers each
with a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PORT = 9000
CHUNK = 1 << 18
ZEROS = bytes(CHUNK)
# Sockets of a flood, each with a loopback address of its own.
SENDERS = 64
# Datagrams sent between two looks at the clock.
BURST = 32


async def commands() -> AsyncIterator[str]:
    """Yield the lines of the standard input."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().strip()


def answer(**values: object) -> None:
    """Answer a command."""
    print(json.dumps(values), flush=True)


async def serve(task: dict[str, Any]) -> None:
    """Send without end to whoever connects."""
    from wirewright import Config, Tunnel  # noqa: PLC0415 (a flooder needs none of it)

    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(ZEROS)
                await writer.drain()
        except OSError:
            writer.close()

    async with Tunnel(Config.loads(task["config"])) as tunnel, await tunnel.start_server(send, PORT):
        answer(port=tunnel.listen_port)
        async for _ in commands():
            pass


async def download(task: dict[str, Any]) -> None:
    """Read from the server without end; for each command tell what came so far, and at what cost."""
    from wirewright import Config, Tunnel  # noqa: PLC0415

    received = 0

    async def read(reader: asyncio.StreamReader) -> None:
        nonlocal received
        while chunk := await reader.read(CHUNK):
            received += len(chunk)

    async with Tunnel(Config.loads(task["config"])) as tunnel:
        reader, writer = await tunnel.open_connection(task["server"], PORT, limit=1 << 20)
        reading = asyncio.create_task(read(reader))
        answer(port=tunnel.listen_port)
        async for _ in commands():
            counters = {name: count for name, count in tunnel.stats().counters.items() if count}
            answer(bytes=received, seconds=time.monotonic(), cpu=time.process_time(), counters=counters)
        reading.cancel()
        writer.transport.abort()


def flood(task: dict[str, Any]) -> None:
    """Send datagrams at a rate, for a while, when told to; never to another machine."""
    target = ("127.0.0.1", int(task["port"]))
    senders = []
    for _ in range(SENDERS):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.bind((f"127.{random.randrange(1, 255)}.{random.randrange(255)}.{random.randrange(1, 255)}", 0))
        sender.connect(target)
        senders.append(sender)
    answer(ready=True)
    for line in sys.stdin:
        order = json.loads(line)
        message, rate, seconds = bytes.fromhex(order["message"]), int(order["rate"]), float(order["seconds"])
        sent, began = 0, time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds:
            if sent >= elapsed * rate:
                time.sleep(BURST / rate)
                continue
            for number in range(sent, sent + BURST):
                try:
                    senders[number % SENDERS].send(message)
                except ConnectionRefusedError:
                    continue
            sent += BURST
        answer(sent=sent)


def main() -> None:
    """Play the role that the first argument names."""
    role, task = sys.argv[1], json.loads(sys.stdin.readline())
    if role == "flood":
        flood(task)
    else:
        asyncio.run({"serve": serve, "download": download}[role](task))


if __name__ == "__main__":
    main()
    # The reader of the standard input may still hold it.
    os._exit(0)
