"""A TCP server that sends as many bytes as it is asked for: eight bytes, big-endian, ask."""

import socket
import sys

ZEROS = bytes(1 << 20)


def main(port: int) -> None:
    """Serve one client after the other, for ever."""
    with socket.create_server(("", port)) as server:
        print("ready", flush=True)
        while True:
            client, _ = server.accept()
            with client:
                left = int.from_bytes(client.recv(8, socket.MSG_WAITALL))
                try:
                    while left > 0:
                        left -= client.send(ZEROS[: min(left, len(ZEROS))])
                except OSError:
                    continue


if __name__ == "__main__":
    main(int(sys.argv[1]))
