"""Servers and clients by which it shows who reaches whom. Nothing of ours is imported."""

from __future__ import annotations

import errno
import json
import socket
import sys
import threading

PORTS = (7000, 7001)


def echo_datagrams(port: int) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", port))
        ready.release()
        while True:
            datagram, source = sock.recvfrom(1 << 16)
            sock.sendto(datagram, source)


def echo_stream(connection: socket.socket) -> None:
    with connection:
        while piece := connection.recv(1 << 16):
            connection.sendall(piece)


def echo_streams(port: int) -> None:
    with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        ready.release()
        while True:
            connection, _ = server.accept()
            threading.Thread(target=echo_stream, args=(connection,), daemon=True).start()


def serve() -> None:
    """Echo over TCP and UDP, and ask others as each line of the input says, until it ends."""
    for port in PORTS:
        threading.Thread(target=echo_datagrams, args=(port,), daemon=True).start()
        threading.Thread(target=echo_streams, args=(port,), daemon=True).start()
    for _ in range(2 * len(PORTS)):
        ready.acquire()
    print("ready", flush=True)
    for line in sys.stdin:
        kind, *arguments = json.loads(line)
        print({"udp": udp, "tcp": tcp}[kind](*arguments), flush=True)


def family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def extend(sock: socket.socket, kind: str) -> None:
    """Give every packet of a socket extension headers of a kind."""
    # An option that means nothing (PadN).
    padding = bytes([0, 0, 1, 4, 0, 0, 0, 0])
    if kind in ("hop-by-hop", "both"):
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, padding)
    if kind in ("destination", "both"):
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, padding)


def udp(host: str, port: int, size: int, patience: float, source: str = "", extension: str = "") -> str:
    """Say whether a datagram comes back: yes, no, or refused."""
    with socket.socket(family(host), socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        extend(sock, extension)
        sock.connect((host, port))
        sock.settimeout(patience)
        try:
            return "yes" if len(exchanged(sock, b"x" * size)) == size else "changed"
        except TimeoutError:
            return "no"
        except ConnectionRefusedError:
            return "refused"


def exchanged(sock: socket.socket, datagram: bytes) -> bytes:
    """Send a datagram and wait for an answer, once more if the way proves to be narrower than was known."""
    try:
        sock.send(datagram)
        return sock.recv(1 << 16)
    except OSError as error:
        if error.errno != errno.EMSGSIZE:
            raise
    sock.send(datagram)
    return sock.recv(1 << 16)


def tcp(host: str, port: int, size: int, patience: float) -> str:
    """Say whether bytes come back over a connection."""
    with socket.socket(family(host), socket.SOCK_STREAM) as sock:
        sock.settimeout(patience)
        try:
            sock.connect((host, port))
            sock.sendall(b"x" * size)
            got = 0
            while got < size:
                got += len(sock.recv(1 << 16))
        except TimeoutError:
            return "no"
        return "yes"


def talk(kind: str, host: str, port: str) -> None:
    """Keep a flow: for each line of the input, which is how long to wait, say whether an echo comes."""
    with socket.socket(family(host), socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as sock:
        sock.settimeout(30)
        sock.connect((host, int(port)))
        print("ready", flush=True)
        for number, line in enumerate(sys.stdin):
            sock.settimeout(float(line))
            # Each has a number of its own, so that a late answer to another is none.
            word = number.to_bytes(4, "big")
            try:
                sock.send(word)
                while word not in sock.recv(1 << 16):
                    pass
                print("yes", flush=True)
            except TimeoutError:
                print("no", flush=True)


if __name__ == "__main__":
    ready = threading.Semaphore(0)
    globals()[sys.argv[1]](*sys.argv[2:])
