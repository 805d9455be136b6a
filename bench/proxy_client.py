"""Streams for some seconds, through a SOCKS proxy or without one; the task comes as JSON on its input."""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

ZEROS = bytes(1 << 18)
# Seconds that do not count: windows open, caches fill.
WARM_UP = 1.0


def connect(proxy: tuple[str, int] | None, server: tuple[str, int]) -> socket.socket:
    """Return a connection to the server."""
    if proxy is None:
        return socket.create_connection(server, timeout=30)
    client = socket.create_connection(proxy, timeout=30)
    client.sendall(b"\x05\x01\x00")
    assert client.recv(2, socket.MSG_WAITALL) == b"\x05\x00"
    client.sendall(b"\x05\x01\x00\x01" + socket.inet_aton(server[0]) + server[1].to_bytes(2))
    answer = client.recv(10, socket.MSG_WAITALL)
    assert answer[:2] == b"\x05\x00", answer
    return client


def download(streams: list[socket.socket], seconds: float) -> tuple[float, int]:
    """Return the bytes a second that come, and how many came in all."""
    buffer = bytearray(1 << 18)
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            stream.sendall((1 << 50).to_bytes(8))
            stream.setblocking(False)
            selector.register(stream, selectors.EVENT_READ)
        began, count, early = time.perf_counter() + WARM_UP, 0, 0
        while (now := time.perf_counter()) < began + seconds:
            for key, _ in selector.select(0.1):
                got = key.fileobj.recv_into(buffer)  # type: ignore[union-attr]
                assert got, "a stream has ended"
                if now >= began:
                    count += got
                else:
                    early += got
        return count / (time.perf_counter() - began), early + count


def upload(streams: list[socket.socket], seconds: float, counter: tuple[str, int]) -> tuple[float, int]:
    """Return the bytes a second that arrive, as the server counts them, and how many did in all."""
    first = arrived_at(counter)
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            stream.sendall(bytes(8))
            stream.setblocking(False)
            selector.register(stream, selectors.EVENT_WRITE)
        end, began, before = time.perf_counter() + WARM_UP, None, 0
        while True:
            if time.perf_counter() >= end:
                arrived, now = arrived_at(counter), time.perf_counter()
                if began is not None:
                    return (arrived - before) / (now - began), arrived - first
                began, before, end = now, arrived, now + seconds
            for key, _ in selector.select(0.1):
                key.fileobj.send(ZEROS)  # type: ignore[union-attr]


def arrived_at(counter: tuple[str, int]) -> int:
    """Ask the server how much it has received."""
    with socket.create_connection(counter, timeout=30) as asking:
        return int.from_bytes(asking.recv(8, socket.MSG_WAITALL))


def main() -> None:
    """Run the task."""
    task: dict[str, Any] = json.load(sys.stdin)
    proxy = tuple(task["proxy"]) if task["proxy"] else None
    server, counter = tuple(task["server"]), tuple(task["counter"])
    with ThreadPoolExecutor(25) as several:
        streams = list(several.map(lambda _: connect(proxy, server), range(task["streams"])))
    if task["direction"] == "download":
        rate, total = download(streams, task["seconds"])
    else:
        rate, total = upload(streams, task["seconds"], counter)
    print(json.dumps({"bytes_per_second": rate, "bytes": total}))


if __name__ == "__main__":
    main()
