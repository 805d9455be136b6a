"""What the command's network still has to send: looked at by the tunnel's process, from outside.

A packet passes three queues: that of its TCP socket, in which it stays until it was acknowledged; the TUN's;
and the engine's, if there is no session with its peer. Behind them it is in a socket of the host's network,
and the host's kernel sends it, whether or not the process is there.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from wirewright.confine.lingering import Left

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TABLES: Final = ("/proc/self/net/tcp", "/proc/self/net/tcp6")
"""Open, they go on telling of the network namespace in which they were opened."""
_SENDING: Final = (b"01", b"04", b"08", b"09", b"0B")
"""ESTABLISHED, FIN-WAIT-1, CLOSE-WAIT, LAST-ACK, CLOSING: where data, or the end of the stream, may wait
(net/tcp_states.h). A connection that is not there yet has none to lose."""
_READ: Final = 1 << 16


class Engine(Protocol):
    """What is asked of the engine."""

    def staged_bytes(self) -> int:
        """Tell how much waits for sessions; a round that had begun is over then."""
        ...


def open_tables() -> list[int]:
    """Open the tables of the sockets of this network namespace, as far as they are there."""
    found = []
    for path in TABLES:
        # A kernel may have no IPv6, and what confines us may hide them.
        with suppress(OSError):
            found.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    return found


class Queues:
    """The three queues. What came after the first look, from processes that go on, does not count."""

    def __init__(self, tables: Sequence[int], tun: int, engine: Engine) -> None:
        self._tables, self._tun, self._engine = tables, tun, engine
        self._counted: frozenset[bytes] | None = None

    def look(self) -> Left:
        """Tell what is left. Raises OSError."""
        waiting = self._send_queues()
        if self._counted is not None:
            waiting = {which: size for which, size in waiting.items() if which in self._counted}
        self._counted = frozenset(waiting)
        # In this order: what was read from the TUN before is sent or staged when the engine answers.
        is_queued = bool(select.select([self._tun], [], [], 0)[0])
        return Left(len(waiting), sum(waiting.values()), is_queued, self._engine.staged_bytes())

    def _send_queues(self) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        for table in self._tables:
            found |= send_queues(_read(table))
        return found


def send_queues(table: bytes) -> Mapping[bytes, int]:
    """Give the bytes that wait, by connection, where there are any and it leads out of this host."""
    found = {}
    for line in table.splitlines()[1:]:
        _, local, remote, state, sizes, *_ = line.split()
        size = int(sizes.partition(b":")[0], 16)
        # What goes to an address of one's own does not leave by the tunnel.
        if size and state in _SENDING and local.partition(b":")[0] != remote.partition(b":")[0]:
            found[local + b" " + remote] = size
    return found


def _read(table: int) -> bytes:
    os.lseek(table, 0, os.SEEK_SET)
    pieces = []
    while piece := os.read(table, _READ):
        pieces.append(piece)
    return b"".join(pieces)
