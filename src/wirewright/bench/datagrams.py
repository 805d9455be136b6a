"""A sender and a receiver of datagrams, for processes of their own.

iperf3 spends more on a small datagram than an engine does, and its receiver loses what its socket has no room
for; what is to be measured is what lies between. Each writes what it did as JSON to its standard output.
"""

import json
import socket
import sys
import time
from pathlib import Path

PORT = 5202
BUFFER = 8 << 20
"""Bytes of the sockets, so that what gets lost is lost on the way."""
PATIENCE = 10
"""Seconds that a receiver waits for the first datagram."""
SILENCE = 0.5
"""Seconds without a datagram after which there will be no more."""
TICK = 0.001
"""Seconds between the bursts of a sender at a fixed rate."""
AT_ONCE = 4
"""What one that sends singly makes up for at once, when it was kept waiting."""
NAP = 20e-6
"""Seconds that it rests even then."""


def send(host: str, size: int, seconds: float, rate: float, *, singly: bool = False) -> dict[str, float]:
    """Send datagrams for so long, so many a second (0: as fast as it goes), in bursts or one by one.

    It tells how many it sent, and in how many bursts.
    """
    datagram = bytes(size)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        sock.connect((host, PORT))
        began = time.monotonic()
        if rate == 0:
            sent, bursts = _flood(sock, datagram, seconds), 1
        else:
            sent, bursts = (_send_singly if singly else _pace)(sock, datagram, seconds, rate)
        return {"sent": sent, "bursts": bursts, "seconds": time.monotonic() - began}


def _flood(sock: socket.socket, datagram: bytes, seconds: float) -> int:
    sent, end, put = 0, time.monotonic() + seconds, sock.send
    while time.monotonic() < end:
        for _ in range(32):
            put(datagram)
        sent += 32
    return sent


def _pace(sock: socket.socket, datagram: bytes, seconds: float, rate: float) -> tuple[int, int]:
    sent, bursts, began = 0, 0, time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        # Who was kept waiting makes up for it.
        due = int(passed * rate) - sent
        for _ in range(due):
            sock.send(datagram)
        sent += due
        bursts += due > 0
        time.sleep(TICK)
    return sent, bursts


def _send_singly(sock: socket.socket, datagram: bytes, seconds: float, rate: float) -> tuple[int, int]:
    # It sleeps in between, for who waits awake takes a processor from the engines. As a rule the system wakes
    # a process up to 50 µs late, with others.
    Path("/proc/self/timerslack_ns").write_text("1")
    sent, bursts, began = 0, 0, time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        due = min(int(passed * rate) - sent, AT_ONCE)
        for _ in range(due):
            sock.send(datagram)
        sent += due
        bursts += due > 0
        time.sleep(max(NAP, began + (sent + 1) / rate - time.monotonic()))
    return sent, bursts


def receive() -> dict[str, float]:
    """Count datagrams until none comes any more."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # Beyond what the system allows an ordinary user.
        sock.setsockopt(socket.SOL_SOCKET, _FORCED, BUFFER)
        _wait_at_most(sock, PATIENCE)
        sock.bind(("", PORT))
        _say("ready")
        count, first, last = 0, 0.0, 0.0
        buffer = bytearray(65536)
        take, now = sock.recv_into, time.monotonic
        try:
            take(buffer)
            first = last = now()
            count = 1
            _wait_at_most(sock, SILENCE)
            while True:
                take(buffer)
                count += 1
                if not count & 31:
                    last = now()
        except BlockingIOError:
            pass
        return {"received": count, "seconds": last - first}


_FORCED = 33
"""SO_RCVBUFFORCE, which the module socket does not name."""


def _wait_at_most(sock: socket.socket, seconds: float) -> None:
    # Unlike settimeout it costs no system call for each datagram.
    whole = int(seconds)
    limit = whole.to_bytes(8, sys.byteorder) + int((seconds - whole) * 1e6).to_bytes(8, sys.byteorder)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)


def _say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def main(words: list[str]) -> None:
    """Call ``receive``, or ``send HOST SIZE SECONDS RATE``, with ``singly`` behind it or not."""
    if words == ["receive"]:
        _say(json.dumps(receive()))
    else:
        host, size, seconds, rate, *how = words[1:]
        _say(json.dumps(send(host, int(size), float(seconds), float(rate), singly=how == ["singly"])))


if __name__ == "__main__":
    main(sys.argv[1:])
