"""A connection to the UAPI socket of an interface in user space."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from wirewright.host.userspace.text import Report, lines, set_request
from wirewright.host.wiped import Wiped, wipe

if TYPE_CHECKING:
    from wirewright.host.device import DeviceChange, DeviceState

SOCKETS: Final = Path("/var/run/wireguard")
PATIENCE: Final = 20.0
"""Seconds that an engine may take to answer."""
_RECEIVED: Final = 65_536
_LONGEST_ANSWER: Final = 1 << 30


def socket_of(name: str) -> Path:
    """Give the path of an interface's socket."""
    return SOCKETS / f"{name}.sock"


class UapiClient:
    """Speaks to one interface.

    Raises OSError: FileNotFoundError or ConnectionRefusedError where none is served.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.settimeout(PATIENCE)
            self._socket.connect(os.fspath(socket_of(name)))
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def get(self) -> DeviceState:
        """Tell the state of the interface."""
        report = Report(self._name)
        self._socket.sendall(b"get=1\n\n")
        self._read(report)
        return report.state()

    def set(self, change: DeviceChange) -> None:
        """Change the interface; a change that is refused changes nothing."""
        with set_request(change) as request:
            self._socket.sendall(request)
        self._read(Report(self._name))

    def counters(self) -> dict[str, int]:
        """Tell what was dropped and why, by the names of the engine's events; only our engine answers."""
        self._socket.sendall(b"counters=1\n\n")
        answer = b""
        while not answer.endswith(b"\n\n"):
            if not (more := self._socket.recv(_RECEIVED)) or len(answer) > _RECEIVED:
                raise OSError(errno.EPROTO, f"{self._name}: the engine does not tell counters")
            answer += more
        rows = (line.partition("=") for line in answer.decode("ascii").split())
        counters = {name: int(count) for name, _, count in rows}
        _check(counters.pop("errno", errno.EPROTO))
        return counters

    def _read(self, report: Report) -> None:
        """Read an answer line by line; only the line that is cut off by the end of a read is moved."""
        kept = 0
        total = 0
        with Wiped(2 * _RECEIVED) as buffer, memoryview(buffer) as view:
            while True:
                length = self._socket.recv_into(view[kept:], _RECEIVED)
                total += length
                if not length or total > _LONGEST_ANSWER:
                    raise OSError(errno.EPROTO, f"{self._name}: the engine's answer ended too early")
                end = kept + length
                done = 0
                for line in lines(view[:end]):
                    done += len(line) + 1
                    if not len(line):
                        _check(report.errno)
                        return
                    self._add(report, line)
                kept = end - done
                if kept > _RECEIVED:
                    raise OSError(errno.EPROTO, f"{self._name}: the engine's answer has no lines")
                view[:kept] = view[done:end]
                wipe(view[kept:end])

    def _add(self, report: Report, line: memoryview) -> None:
        try:
            report.add(line)
        except ValueError as error:
            raise OSError(errno.EPROTO, f"{self._name}: the engine's answer: {error}") from None


def _check(number: int | None) -> None:
    if number:
        # wireguard-go's numbers are negative in answers to `set`.
        raise OSError(abs(number), os.strerror(abs(number)))
    if number is None:
        raise OSError(errno.EPROTO, "the engine's answer has no errno")
