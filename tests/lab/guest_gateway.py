"""Runs in a guest: `ww gateway`, whose coordinator is on another machine.

``guest_gateway.py ADDRESS ARGUMENT...``: what comes to port 8080 of the loopback goes to that of the address,
for a gateway speaks in the clear with its own machine only.
"""

from __future__ import annotations

import socket
import sys
import threading

from wirewright.cli import main

PORT = 8080


def carry(source: socket.socket, target: socket.socket) -> None:
    """Carry bytes one way until there are no more."""
    try:
        while piece := source.recv(1 << 16):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, target):
            end.close()


def forward(server: socket.socket, address: str) -> None:
    while True:
        near, _ = server.accept()
        try:
            far = socket.create_connection((address, PORT))
        except OSError:
            near.close()
            continue
        for ends in ((near, far), (far, near)):
            threading.Thread(target=carry, args=ends, daemon=True).start()


if __name__ == "__main__":
    _, there, *arguments = sys.argv
    listening = socket.create_server(("127.0.0.1", PORT))
    threading.Thread(target=forward, args=(listening, there), daemon=True).start()
    sys.argv = ["ww", "gateway", "--coordinator", f"http://127.0.0.1:{PORT}", *arguments]
    main()
