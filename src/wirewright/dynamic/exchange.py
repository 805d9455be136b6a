"""One question to the server behind an interface, and its answer."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING, Final

from wirewright.dynamic.identity import PORT, SERVER
from wirewright.dynamic.lines import ProtocolError, Reader, encode

if TYPE_CHECKING:
    from ipaddress import IPv6Address

    from wirewright.dynamic.lines import Message

PATIENCE: Final = 30.0
"""Seconds from the first packet to the end of the answer."""
_PIECE: Final = 4096


class NoAnswerError(OSError):
    """The server could not be asked, or said nothing that is an answer; the text says why."""


async def ask(interface: str, source: IPv6Address, message: Message) -> Message:
    """Ask over a connection of its own, from the protocol's port of a link-local address.

    Raises NoAnswerError. Both ports are fixed, so the system may hold back the connection for a minute
    after one before it (TIME_WAIT); that is an error as others are, and the client asks again.
    """
    loop = asyncio.get_running_loop()
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            index = socket.if_nametoindex(interface)
            connection.bind((str(source), PORT, 0, index))
            async with asyncio.timeout(PATIENCE):
                await loop.sock_connect(connection, (str(SERVER), PORT, 0, index))
                await loop.sock_sendall(connection, encode(message))
                return await _answer(loop, connection)
    except ProtocolError as error:
        raise NoAnswerError(errno.EPROTO, f"the server's answer is none: {error}") from None
    except NoAnswerError:
        raise
    except OSError as error:
        raise NoAnswerError(error.errno or errno.EIO, _why(error, interface, source)) from None


async def _answer(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> Message:
    reader = Reader()
    while True:
        data = await loop.sock_recv(connection, _PIECE)
        if not data:
            raise NoAnswerError(errno.EPROTO, "the server closed the connection without an answer")
        for message in reader.feed(data):
            return message


def _why(error: OSError, interface: str, source: IPv6Address) -> str:
    if isinstance(error, TimeoutError):
        return f"no server of wg-dynamic answered on {interface} within {PATIENCE:g} s"
    if isinstance(error, ConnectionRefusedError):
        return f"no server of wg-dynamic runs at {SERVER} on {interface}"
    if isinstance(error, ConnectionResetError):
        return "the server refused the connection: it has too many, or does not know this client's address"
    if error.errno == errno.EADDRINUSE:
        return f"port {PORT} of {source} is in use: another client runs on {interface}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"the connection of before still holds port {PORT} of {source}"
    return f"the server on {interface} cannot be asked: {error.strerror or error}"
