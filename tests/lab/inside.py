"""What runs in the hosts: servers and clients that check what they move. Nothing of ours is imported."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import sys
import time

PORT = 7000
PIECE = 1 << 16


def ready() -> None:
    print("ready", flush=True)


def sink() -> None:
    """Take one connection to its end; write the digest and the length of what came."""
    with socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        ready()
        connection, _ = server.accept()
    digest, length = hashlib.sha256(), 0
    with connection:
        while piece := connection.recv(PIECE):
            digest.update(piece)
            length += len(piece)
    print(digest.hexdigest(), length)


def extend(sock: socket.socket, kind: str) -> None:
    """Give every packet of a socket extension headers of a kind."""
    # An option that means nothing (PadN).
    padding = bytes([0, 0, 1, 4, 0, 0, 0, 0])
    if kind in ("hop-by-hop", "both"):
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, padding)
    if kind in ("destination", "both"):
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, padding)


def send(host: str, size: str, extension: str = "") -> None:
    """Send so many random bytes; write their digest and their length."""
    digest, left = hashlib.sha256(), int(size)
    source = random.Random(size)
    with socket.create_connection((host, PORT), timeout=40) as connection:
        extend(connection, extension)
        while left:
            piece = source.randbytes(min(PIECE, left))
            digest.update(piece)
            connection.sendall(piece)
            left -= len(piece)
    print(digest.hexdigest(), size)


def leave(host: str, size: str, more: str = "") -> None:
    """Give so many random bytes to the kernel, more than the way takes at once; close and end, or read on."""
    piece = random.Random(size).randbytes(int(size))
    with socket.create_connection((host, PORT), timeout=40) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(piece))
        connection.sendall(piece)
    print(hashlib.sha256(piece).hexdigest(), size, flush=True)
    if more:
        sys.stdin.read()


def connected(host: str) -> None:
    """Connect, and be ready; at a line of input write what nobody will take, close, and end with 3."""
    with socket.create_connection((host, PORT), timeout=40) as connection:
        ready()
        sys.stdin.readline()
        connection.sendall(b"last words")
    raise SystemExit(3)


def take(count: str) -> None:
    """Write the contents of so many different datagrams, sorted."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # Twice of what a socket has unless it asks.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind(("::", PORT))
        ready()
        taken: set[str] = set()
        while len(taken) < int(count):
            taken.add(sock.recv(PIECE).decode())
    print(*sorted(taken))


def call(host: str, *words: str) -> None:
    """Send each word in a datagram, and end."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for word in words:
            sock.sendto(word.encode(), (host, PORT))


def echo() -> None:
    """Send every datagram back."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", PORT))
        ready()
        while True:
            datagram, source = sock.recvfrom(1 << 16)
            sock.sendto(datagram, source)


def sizes(host: str, *wanted: str) -> None:
    """Send datagrams of these sizes, again until each came back whole."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        sock.connect((host, PORT))
        for size in map(int, wanted):
            datagram = random.Random(size).randbytes(size)
            for _ in range(20):
                sock.send(datagram)
                try:
                    if sock.recv(1 << 16) == datagram:
                        break
                except TimeoutError:
                    continue
            else:
                raise SystemExit(f"{size} bytes did not come back")
    print("all", len(wanted))


def hops(interface: str, port: str, count: str) -> None:
    """Write which hop limits so many datagrams to a port have that come to an interface."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as sock:
        sock.bind((interface, 3))
        sock.settimeout(30)
        ready()
        seen: list[int] = []
        while len(seen) < int(count):
            packet, (_, _, kind, *_) = sock.recvfrom(1 << 16)
            ipv6 = packet[0] >> 4 == 6
            header = 40 if ipv6 else 20
            is_ours = packet[header + 2 : header + 4] == int(port).to_bytes(2, "big")
            if kind != socket.PACKET_OUTGOING and packet[6 if ipv6 else 9] == socket.IPPROTO_UDP and is_ours:
                seen.append(packet[7 if ipv6 else 8])
    print(*sorted(set(seen)))


def garbage(host: str, port: str, seconds: str) -> None:
    """Send datagrams of any size and content as fast as it goes; write how many."""
    source = random.Random(1)
    block = source.randbytes(1 << 17)
    # Types of our protocol with random contents, their own lengths among others.
    heads = [bytes([kind, 0, 0, 0]) for kind in (1, 2, 3, 4, 5)]
    sizes = [0, 1, 4, 31, 32, 64, 92, 148, 149, 500, 1400, 1472, 4096, 9000, 65507]
    sockets = [
        socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)
    ]
    for sock in sockets:
        sock.connect((host, int(port)))
    ready()
    end, count = time.monotonic() + float(seconds), 0
    while time.monotonic() < end:
        for sock in sockets:
            start, size = source.randrange(1 << 16), sizes[count % len(sizes)]
            head = heads[count % len(heads)] if size >= 4 else b""
            count += 1
            try:
                sock.send(head + block[start : start + size - len(head)])
            except OSError:  # refused, or no room: as a flood would, go on
                continue
    print(count)


def uapi_garbage(path: str, megabytes: str) -> None:
    """Write so much garbage to a UAPI socket; write how much it took before it closed."""
    piece, taken = b"a" * PIECE, 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(path)
        sock.settimeout(30)
        try:
            while taken < int(megabytes) << 20:
                taken += sock.send(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
    print(taken)


def uapi_endless(path: str, megabytes: str) -> None:
    """Write one well-formed request without end, up to so much; write the answer, and how much it took."""
    line, taken = b"allowed_ip=10.0.0.1/32\n", 0
    piece = line * (PIECE // len(line))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(path)
        sock.settimeout(60)
        sock.sendall(b"set=1\npublic_key=" + b"01" * 32 + b"\n")
        try:
            while taken < int(megabytes) << 20:
                sock.sendall(piece)
                taken += len(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        print(sock.recv(100).decode().strip(), taken)


def hold(family: str, address: str, port: str) -> None:
    """Have a UDP port until the input ends."""
    with socket.socket(getattr(socket, family), socket.SOCK_DGRAM) as sock:
        if family == "AF_INET6":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, int(port)))
        ready()
        sys.stdin.read()


def uapi_stall(path: str, count: str) -> None:
    """Connect so many times, each with half a request, and wait."""
    sockets = []
    for number in range(int(count)):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(path)
        sock.sendall((b"get=1\n", b"set=1\nprivate_key=00", b"s", b"")[number % 4])
        sockets.append(sock)
    ready()
    sys.stdin.read()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    globals()[sys.argv[1]](*sys.argv[2:])
