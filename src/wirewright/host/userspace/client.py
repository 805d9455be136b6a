"""A connection to the UAPI socket of an interface in user space."""

from __future__ import annotations

import errno
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from wirewright.host.userspace.text import Report, set_request
from wirewright.host.wiped import Wiped

if TYPE_CHECKING:
    from collections.abc import Callable

    from wirewright.host.device import DeviceChange, DeviceState

SOCKETS: Final = Path("/var/run/wireguard")
PATIENCE: Final = 20.0
"""Seconds that an engine may be silent."""
LONGEST_CALL: Final = 120.0
"""Seconds until an answer must be whole."""
LONGEST_ANSWER: Final = 1 << 27
"""Bytes: two million allowed IPs."""
_RECEIVED: Final = 65_536
_MAX_ERRNO: Final = 4095
_STAGED: Final = "staged_bytes"
"""It stands among the counters and is none: it goes up and down."""
_SILENT: Final = "silent"
"""What our engine tells with the counters."""


def socket_of(name: str) -> Path:
    """Give the path of an interface's socket."""
    return SOCKETS / f"{name}.sock"


class UapiClient:
    """Speaks to one interface.

    Raises OSError: FileNotFoundError or ConnectionRefusedError where none is served.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._deadline = 0.0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.settimeout(PATIENCE)
            self._socket.connect(os.fspath(socket_of(name)))
        except BaseException:
            self._socket.close()
            raise

    @classmethod
    def over(cls, connected: socket.socket, name: str) -> Self:
        """Speak over a connection that is there already; errors call the interface ``name``."""
        client = cls.__new__(cls)
        client._name = name
        client._deadline = 0.0
        client._socket = connected
        connected.settimeout(PATIENCE)
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def get(self) -> DeviceState:
        """Tell the state of the interface."""
        report = Report(self._name)
        self._ask(b"get=1\n\n", report)
        return report.state()

    def set(self, change: DeviceChange) -> None:
        """Change the interface; a change that is refused changes nothing, if our own engine is there."""
        with set_request(change) as request:
            self._ask(request, Report(self._name))

    def counters(self) -> dict[str, int]:
        """Tell what was dropped and why, by the names of the engine's events; only our engine answers."""
        counters = self._counters()
        for name in (_STAGED, _SILENT):
            counters.pop(name, None)
        return counters

    def staged_bytes(self) -> int:
        """Tell how many bytes of packets wait for sessions now; only our engine answers."""
        return self._counters().get(_STAGED, 0)

    def is_silent(self) -> bool:
        """Whether the interface is up and could not have its UDP port; only our engine answers."""
        return bool(self._counters().get(_SILENT))

    def _counters(self) -> dict[str, int]:
        report = Report(self._name)
        self._ask(b"counters=1\n\n", report)
        return report.counters

    def _ask(self, request: bytes | bytearray, report: Report) -> None:
        """Send a request and read the answer; of it, only a line that the end of a read cuts off is moved."""
        self._deadline = time.monotonic() + LONGEST_CALL
        # An engine that refuses a request may answer, and close, before it read all of it.
        with suppress(BrokenPipeError, ConnectionResetError), memoryview(request) as view:
            sent = 0
            while sent < len(view):
                with view[sent:] as rest:
                    sent += self._in_time(self._socket.send, rest)
        kept = total = 0
        with Wiped(2 * _RECEIVED) as buffer, memoryview(buffer) as view:
            while not report.complete:
                length = self._in_time(self._socket.recv_into, view[kept : kept + _RECEIVED])
                total += length
                try:
                    start = report.take(buffer, kept + length)
                except ValueError as error:
                    raise self._not_understood(error) from None
                if not report.complete and (total > LONGEST_ANSWER or not length):
                    raise self._not_understood("it has no end" if length else "it ended too early")
                view[: kept + length - start] = view[start : kept + length]
                kept += length - start
        self._check(report.errno)

    def _in_time(self, call: Callable[[memoryview], int], place: memoryview) -> int:
        left = self._deadline - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(min(left, PATIENCE))
            return call(place)
        except TimeoutError:
            words = f"{self._name}: the engine takes too long to answer"
            raise TimeoutError(errno.ETIMEDOUT, words) from None

    def _check(self, number: int | None) -> None:
        if number is None:
            raise self._not_understood("it has no errno")
        if number:
            if abs(number) > _MAX_ERRNO:
                raise self._not_understood("there is no such error number")
            raise OSError(abs(number), os.strerror(abs(number)))

    def _not_understood(self, why: object) -> OSError:
        return OSError(errno.EPROTO, f"{self._name}: the engine's answer is not understood: {why}")
