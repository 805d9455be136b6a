"""A flood of initiations: each is well made for its victim, by a key that the victim does not know."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Self

from wirewright.spec import cookies, handshake, timestamps
from wirewright.spec.messages import CookieReply, Initiation

if TYPE_CHECKING:
    from tests.interop.relay import Address
    from wirewright.keys import PublicKey

UDP_SEGMENT = 103  # linux/udp.h: one send, many datagrams
DIFFERENT = 32
# Seconds between bursts, and without an answer until a burst counts as dealt with.
REST = 0.2
SILENCE = 0.03


def initiations(victim: PublicKey, number: int = DIFFERENT) -> list[bytes]:
    """Return initiations that `victim` has to decrypt to find out that it does not know the sender."""
    now = time.time_ns()
    stamp = timestamps.tai64n(now // 10**9, now % 10**9)
    return [
        handshake.create_initiation(
            static_private=os.urandom(32),
            responder_public=bytes(victim),
            ephemeral_private=os.urandom(32),
            timestamp=stamp,
            sender=index,
        )[0].encode()
        for index in range(number)
    ]


class Flood:
    """Bursts of initiations, each more than the victim's queue calls calm.

    In bursts, since a steady flood on two cores would be a test of the scheduler: load lasts for a second, so
    this keeps the victim under load and leaves it time to answer.
    """

    def __init__(self, victim: PublicKey, at: Address, burst: int) -> None:
        """Prepare; `burst` is rounded down to whole trains."""
        self._victim = victim
        self._messages = initiations(victim)
        self._trains = burst // DIFFERENT
        family = socket.AF_INET6 if ":" in at[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, len(self._messages[0]))
        self._socket.settimeout(SILENCE)
        self._socket.connect(at)
        self._answered = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flood", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def wait_for_cookies(self) -> None:
        """Return in the silence after a burst that was answered by cookies."""
        self._answered.clear()
        assert self._answered.wait(15), "the flood was not answered by cookies"

    def _run(self) -> None:
        train = b"".join(self._messages)
        while not self._ended.wait(REST):
            for _ in range(self._trains):
                try:
                    self._socket.send(train)
                except OSError:  # no room at all; there is a next burst
                    break
            if self._take_answers():
                self._answered.set()

    def _take_answers(self) -> bool:
        """Whether cookie replies came, until no more come. The specification must be able to open them."""
        replies = 0
        while True:
            try:
                datagram = self._socket.recv(2048)
            except OSError:
                return replies > 0
            if replies < DIFFERENT:
                reply = CookieReply.decode(datagram)
                mac1 = Initiation.decode(self._messages[reply.receiver]).mac1
                cookies.open_cookie_reply(reply, peer_public=bytes(self._victim), mac1_sent=mac1)
            replies += 1
