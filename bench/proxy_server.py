"""A TCP server for streams in either direction, and a port that says how much it has received.

A client begins with eight bytes, big-endian: so many bytes are sent to it; zero asks to be listened to.
Whoever connects to the next port is told in eight bytes how many bytes all of these have sent.
"""

import contextlib
import socket
import sys
import threading

ZEROS = bytes(1 << 20)
received: dict[int, int] = {}


def serve(client: socket.socket) -> None:
    """Do what one client asks for."""
    with client, contextlib.suppress(OSError):
        left = int.from_bytes(client.recv(8, socket.MSG_WAITALL))
        if left == 0:
            listen(client)
        while left > 0:
            left -= client.send(ZEROS[: min(left, len(ZEROS))])


def listen(client: socket.socket) -> None:
    """Count what comes."""
    mine = threading.get_ident()
    buffer = bytearray(1 << 20)
    while count := client.recv_into(buffer):
        received[mine] = received.get(mine, 0) + count


def tell(server: socket.socket) -> None:
    """Say how much has come."""
    while True:
        client, _ = server.accept()
        with client:
            client.sendall(sum(list(received.values())).to_bytes(8))


def main(port: int) -> None:
    """Serve for ever."""
    with (
        socket.create_server(("", port), backlog=256) as server,
        socket.create_server(("", port + 1)) as counter,
    ):
        threading.Thread(target=tell, args=(counter,), daemon=True).start()
        print("ready", flush=True)
        while True:
            client, _ = server.accept()
            threading.Thread(target=serve, args=(client,), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]))
