"""Interfaces that only answer: `uapi_states.py FOLDER` serves each file NAME of a folder as NAME.sock.

Prints a line when all are there; ends with its standard input.
"""

from __future__ import annotations

import selectors
import socket
import sys
from pathlib import Path

SOCKETS = Path("/var/run/wireguard")


def main(folder: Path) -> None:
    SOCKETS.mkdir(parents=True, exist_ok=True)
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        for file in folder.iterdir():
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(SOCKETS / f"{file.name}.sock"))
            listener.listen(16)
            selector.register(listener, selectors.EVENT_READ, file.read_bytes())
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            for key, _ in selector.select():
                if key.fileobj is sys.stdin:
                    return
                assert isinstance(key.fileobj, socket.socket)
                client, _ = key.fileobj.accept()
                with client:
                    client.settimeout(20)
                    if client.recv(4096).startswith(b"get=1"):
                        client.sendall(key.data + b"errno=0\n\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
