"""A device that sends a datagram every few milliseconds, and a server that notes when the last one came."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import time

PERIOD = 0.005


def serve(port: str) -> None:
    """Echo; each line of the input is answered by how many came, and when the last one did."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", int(port)))
        print("ready", flush=True)
        count, last = 0, 0.0
        while True:
            ready, _, _ = select.select([sock, sys.stdin], [], [])
            if sock in ready:
                datagram, source = sock.recvfrom(2048)
                count, last = count + 1, time.monotonic()
                sock.sendto(datagram, source)
            if sys.stdin in ready:
                if not sys.stdin.readline():
                    return
                print(json.dumps([count, last]), flush=True)


def send(host: str, port: str) -> None:
    """Send for ever; each line of the input is answered by how many came back, and when the last one did."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        # Not connected: errors about what was sent are none of its business.
        print("ready", flush=True)
        count, last = 0, 0.0
        while True:
            with contextlib.suppress(OSError):
                sock.sendto(b"beat", (host, int(port)))
            ready, _, _ = select.select([sock, sys.stdin], [], [], PERIOD)
            if sock in ready:
                try:
                    sock.recv(2048)
                except OSError:
                    continue
                count, last = count + 1, time.monotonic()
            if sys.stdin in ready:
                if not sys.stdin.readline():
                    return
                print(json.dumps([count, last]), flush=True)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
