"""A TCP server for streams in either direction, and a port that says how much it has received.

A client begins with eight bytes, big-endian: so many bytes are sent to it; zero asks to be listened to.
Whoever connects to the next port is told in eight bytes how many bytes all of these have sent.
"""

import contextlib
import selectors
import socket
import sys
import threading

ZEROS = bytes(1 << 20)


def serve(client: socket.socket, listener: "Listener") -> None:
    """Do what one client asks for."""
    with contextlib.suppress(OSError):
        left = int.from_bytes(client.recv(8, socket.MSG_WAITALL))
        if left == 0:
            listener.take(client)
            return
        with client:
            while left > 0:
                left -= client.send(ZEROS[: min(left, len(ZEROS))])


class Listener:
    """One thread for all that is listened to: a thread a stream would mostly wait for the interpreter."""

    def __init__(self) -> None:
        self.received = 0
        self._selector = selectors.DefaultSelector()
        threading.Thread(target=self._run, daemon=True).start()

    def take(self, client: socket.socket) -> None:
        """Count what comes from a client, until it ends."""
        client.setblocking(False)
        self._selector.register(client, selectors.EVENT_READ)

    def _run(self) -> None:
        buffer = bytearray(1 << 20)
        while True:
            for key, _ in self._selector.select():
                client: socket.socket = key.fileobj  # type: ignore[assignment]
                count = self._drain(client, buffer)
                self.received += count
                if count == 0:
                    self._selector.unregister(client)
                    client.close()

    @staticmethod
    def _drain(client: socket.socket, buffer: bytearray) -> int:
        try:
            # tcp(7): with MSG_TRUNC the kernel throws away what came instead of copying it.
            return client.recv_into(buffer, 0, socket.MSG_TRUNC)
        except OSError:
            return 0


def tell(server: socket.socket, listener: Listener) -> None:
    """Say how much has come."""
    while True:
        client, _ = server.accept()
        with client:
            client.sendall(listener.received.to_bytes(8))


def main(port: int) -> None:
    """Serve for ever."""
    with (
        socket.create_server(("", port), backlog=256) as server,
        socket.create_server(("", port + 1)) as counter,
    ):
        listener = Listener()
        threading.Thread(target=tell, args=(counter, listener), daemon=True).start()
        print("ready", flush=True)
        while True:
            client, _ = server.accept()
            threading.Thread(target=serve, args=(client, listener), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]))
