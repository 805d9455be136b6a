"""Dumps over rtnetlink that are whole: pyroute2's messages, on a socket of our own.

The kernel marks the messages of a dump during which things changed (``NLM_F_DUMP_INTR``), and says in the
last one whether the dump failed. pyroute2 looks at neither, and would give a shorter list without a word.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from pyroute2.netlink import (
    NETLINK_GET_STRICT_CHK,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    SOL_NETLINK,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HEADER: Final = struct.Struct("=IHHII")
"""nlmsghdr: length, type, flags, sequence number, port."""
RECEIVED: Final = 65_536
"""Bytes of a read; the kernel's are shorter."""
SEQUENCE: Final = 1
"""Of the one request that a socket is for."""
PATIENCE: Final = 10.0
"""Seconds that the kernel may take to answer."""
ATTEMPTS: Final = 20
"""Dumps of what changes meanwhile, before it is given up."""


def dump(
    message: type[Any],
    kind: int,
    *,
    attributes: Sequence[tuple[str, Any]] = (),
    absent: Sequence[int] = (),
    **fields: int,
) -> list[Any]:
    """Ask for all of a kind (RTM_GET...); give messages of one of pyroute2's classes.

    Fields of its header and attributes narrow the answer where the kernel heeds them (since Linux 4.20);
    else all comes, and the caller passes over the rest. There is nothing where the kernel lacks the address
    family, or refuses with a number that is named ``absent``. Raises OSError: what the kernel says; EINTR if
    what is told changed during each of 20 dumps.
    """
    for _ in range(ATTEMPTS):
        try:
            found = _attempt(message, _request(message, kind, attributes, fields))
        except TimeoutError:
            raise TimeoutError(errno.ETIMEDOUT, "the kernel takes too long to answer") from None
        except OSError as error:
            if error.errno in {errno.EAFNOSUPPORT, *absent}:
                return []
            raise
        if found is not None:
            return found
    raise OSError(errno.EINTR, "this changes faster than it can be read")


def _attempt(message: type[Any], request: bytes) -> list[Any] | None:
    """Dump once; None if something changed meanwhile."""
    whole = True
    found: list[Any] = []
    with socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
    ) as link:
        link.settimeout(PATIENCE)
        with suppress(OSError):
            link.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
        link.bind((0, 0))
        link.send(request)
        for number, flags, data in _messages(link):
            whole = whole and not flags & NLM_F_DUMP_INTR
            if number in (NLMSG_DONE, NLMSG_ERROR):
                _check(data)
                return found if whole else None
            found.append(_decoded(message, data))
    raise AssertionError("the messages have no end but these")


def _messages(link: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Give what comes, without end: type, flags, and the whole message."""
    while True:
        data = link.recv(RECEIVED)
        at = 0
        while at < len(data):
            if len(data) - at < HEADER.size:
                raise OSError(errno.EBADMSG, "the kernel's answer is cut off")
            length, kind, flags, sequence, _ = HEADER.unpack_from(data, at)
            if not HEADER.size <= length <= len(data) - at:
                raise OSError(errno.EBADMSG, "the kernel's answer has an impossible length")
            if sequence == SEQUENCE:
                yield kind, flags, data[at : at + length]
            at += length + -length % 4


def _request(
    message: type[Any], kind: int, attributes: Sequence[tuple[str, Any]], fields: Mapping[str, int]
) -> bytes:
    request = message()
    for name, value in fields.items():
        request[name] = value
    request["attrs"] = list(attributes)
    request["header"]["type"] = kind
    request["header"]["flags"] = NLM_F_REQUEST | NLM_F_DUMP
    request["header"]["sequence_number"] = SEQUENCE
    request.encode()
    return bytes(request.data)


def _decoded(message: type[Any], data: bytes) -> Any:  # noqa: ANN401 - pyroute2's, untyped
    decoded = message(data)
    decoded.decode()
    return decoded


def _check(data: bytes) -> None:
    """Raise what the last message tells; the number is left away where there is none."""
    if len(data) >= HEADER.size + 4:
        (code,) = struct.unpack_from("=i", data, HEADER.size)
        if code:
            raise OSError(-code, os.strerror(-code))
