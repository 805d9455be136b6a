"""One question to the server behind an interface, and its answer.

Both ports are fixed, so whatever TCP remembers of one connection stands in the way of the next. A client that
closes in order has to hear from its server once more, and cannot: its link-local address may leave the
interface right behind the question, and what still comes for it is thrown away. So it has the connection end
by a reset, of which nothing remains here. If the reset is lost, the server's half is found out by the next
connection, and ended (RFC 9293, section 3.5.1).
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from typing import TYPE_CHECKING, Final

from wirewright.dynamic.identity import PORT, SERVER
from wirewright.dynamic.lines import ProtocolError, Reader, encode

if TYPE_CHECKING:
    from ipaddress import IPv6Address

    from wirewright.dynamic.lines import Message

PATIENCE: Final = 30.0
"""Seconds from the first packet to the end of the answer."""
_PIECE: Final = 4096
_BY_RESET: Final = struct.pack("ii", 1, 0)
"""What SO_LINGER is set to, so that closing is a reset."""


class NoAnswerError(OSError):
    """The server could not be asked, or said nothing that is an answer; the text says why."""


async def ask(interface: str, source: IPv6Address, message: Message) -> Message:
    """Ask over a connection of its own, from the protocol's port of a link-local address.

    Raises NoAnswerError, also if a connection that another program closed is still held back (TIME_WAIT).
    """
    loop = asyncio.get_running_loop()
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _BY_RESET)
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
        return (
            f"{source} cannot be used on {interface} yet, or a connection of before still holds port {PORT}"
        )
    return f"the server on {interface} cannot be asked: {error.strerror or error}"
