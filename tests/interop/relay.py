"""A relay for UDP between us and wireguard-go: it sees every datagram, and can do what networks do.

    us  <->  [left socket]  relay  [right socket]  <->  them

Each side believes that the relay is its peer. The datagrams are recorded, and read by the specification, so
that what is on the wire is judged by neither of the two implementations that wrote it.
"""

from __future__ import annotations

import os
import select
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Self

from wirewright.spec.messages import AnyMessage, decode

Address = tuple[str, int]


class Seen(NamedTuple):
    """A datagram that passed, or was held back."""

    by_us: bool
    datagram: bytes
    at: float

    @property
    def message(self) -> AnyMessage:
        """What the specification reads in it."""
        return decode(self.datagram)


class Relay:
    """Forwards between two loopback sockets, in a thread."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.seen: list[Seen] = []
        self.us: Address | None = None
        self.them: Address | None = None
        self._lock = threading.Lock()
        self._left = bound(host)
        self._right = bound(host)
        self._wake, self._kick = os.pipe()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._watch(self._left, by_us=True)
        self._watch(self._right, by_us=False)
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    @property
    def left(self) -> Address:
        """Where we are to send to."""
        return address_of(self._left)

    @property
    def right(self) -> Address:
        """Where they are to send to."""
        return address_of(self._right)

    def hop(self, them: Address | None = None) -> None:
        """Go on from a new address on their side, as if we had moved; `them` is where they are from there."""
        with self._lock:
            if them is not None:
                self.them = them
            assert self.them is not None
            old, self._right = self._right, bound(self.them[0])
            self._selector.unregister(old)
            old.close()
            self._watch(self._right, by_us=False)
        os.write(self._kick, b"!")

    def types(self) -> list[tuple[str, int]]:
        """Return who sent which type of message, in order."""
        return [("us" if seen.by_us else "them", seen.datagram[0]) for seen in self.of()]

    def of(self, type_: int | None = None, *, by_us: bool | None = None) -> list[Seen]:
        """Return what passed, of one type or one side if asked."""
        return [
            seen
            for seen in [*self.seen]
            if (type_ is None or seen.datagram[0] == type_) and (by_us is None or seen.by_us == by_us)
        ]

    def close(self) -> None:
        """Stop forwarding."""
        self._ended = True
        os.write(self._kick, b"!")
        self._thread.join()
        self._selector.close()
        for sock in (self._left, self._right):
            sock.close()
        os.close(self._wake)
        os.close(self._kick)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _watch(self, sock: socket.socket, *, by_us: bool) -> None:
        self._selector.register(sock, selectors.EVENT_READ, by_us)

    def _run(self) -> None:
        while not self._ended:
            for key, _ in self._selector.select():
                if key.fd == self._wake:
                    os.read(self._wake, 64)
                else:
                    with self._lock:
                        self._pass_on(by_us=key.data)

    def _pass_on(self, *, by_us: bool) -> None:
        here, there = (self._left, self._right) if by_us else (self._right, self._left)
        while True:
            try:
                datagram, source = here.recvfrom(1 << 16)
            except OSError:  # nothing more, or the news that an earlier datagram found nobody
                return
            self.seen.append(Seen(by_us, datagram, time.monotonic()))
            if by_us:
                self.us = source[:2]
            elif self.them is None:
                self.them = source[:2]
            target = self.them if by_us else self.us
            if target is not None:
                try:
                    there.sendto(datagram, target)
                except OSError:
                    continue  # as a network does


def bound(host: str) -> socket.socket:
    """Return a UDP socket on a free port of `host`'s loopback."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.setblocking(False)
    return sock


def address_of(sock: socket.socket) -> Address:
    """Return host and port that a socket is bound to."""
    host, port = sock.getsockname()[:2]
    return str(host), int(port)


def readable(sock: socket.socket) -> bool:
    """Whether a datagram came."""
    return bool(select.select([sock], [], [], 0)[0])


def until(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    """Wait for something that another process does in its own time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)
