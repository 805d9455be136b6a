"""Netlink messages in buffers that are wiped.

pyroute2 makes ``bytes`` of every attribute it packs or unpacks, also of keys, and CPython cannot wipe
those. So the messages that carry keys are written into, and read from, a ``bytearray`` in place: a key goes
from its handle into the buffer, and from the buffer into a handle, and the buffer is zeroed when it was
sent or read.

A message is a header and attributes; an attribute is its length, its type and its content, up to a multiple
of four (``linux/netlink.h``). Numbers are in the machine's order.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wirewright.host.wiped import KEY_LENGTH, wipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wirewright.keys import PresharedKey, SecretKey

HEADER = struct.Struct("=IHHII")
"""nlmsghdr: length, type, flags, sequence number, port."""
_SEQUENCE, _SEQUENCE_AT = struct.Struct("=I"), 8
GENERIC = struct.Struct("=BBH")
"""genlmsghdr: command, version, reserved."""
ATTRIBUTE = struct.Struct("=HH")
"""nlattr: length without padding, type."""
NESTED = 0x8000
TYPE_MASK = 0x3FFF


class Writer:
    """Writes one message into a buffer of fixed size; :class:`BufferError` where it does not fit."""

    def __init__(self, buffer: bytearray) -> None:
        self._buffer = buffer
        self.length = HEADER.size + GENERIC.size

    def begin(self, command: int, version: int) -> None:
        """Begin anew with the header of a generic netlink command."""
        self.length = HEADER.size
        self.put(GENERIC.pack(command, version, 0))

    def finish(self, family: int, flags: int) -> memoryview:
        """Complete the header but for its number; return the message, which lies in the buffer."""
        HEADER.pack_into(self._buffer, 0, self.length, family, flags, 0, 0)
        return memoryview(self._buffer)[: self.length]

    def room(self) -> int:
        """Bytes that still fit."""
        return len(self._buffer) - self.length

    def put(self, content: bytes) -> None:
        """Add what is an attribute, or a part of one."""
        if len(content) > self.room():
            raise BufferError("the message is full")
        self._buffer[self.length : self.length + len(content)] = content
        self.length += len(content)

    def attribute(self, kind: int, content: bytes) -> None:
        """Add an attribute."""
        self.put(ATTRIBUTE.pack(ATTRIBUTE.size + len(content), kind))
        self.put(content)
        self.put(bytes(-len(content) % 4))

    def key(self, kind: int, key: SecretKey | PresharedKey | None) -> None:
        """Add an attribute with a secret; zeros for none."""
        if self.room() < ATTRIBUTE.size + KEY_LENGTH:
            raise BufferError("the message is full")
        self.put(ATTRIBUTE.pack(ATTRIBUTE.size + KEY_LENGTH, kind))
        with memoryview(self._buffer)[self.length : self.length + KEY_LENGTH] as place:
            if key is None:
                wipe(place)
            else:
                key.copy_into(place)
        self.length += KEY_LENGTH

    @contextmanager
    def nest(self, kind: int) -> Iterator[None]:
        """Add an attribute of attributes: those that are added within."""
        start = self.length
        self.put(ATTRIBUTE.pack(0, 0))
        yield
        ATTRIBUTE.pack_into(self._buffer, start, self.length - start, kind | NESTED)


def number_message(message: memoryview, sequence: int) -> None:
    """Give a message a sequence number, by which its answers are known."""
    _SEQUENCE.pack_into(message, _SEQUENCE_AT, sequence)


def messages(buffer: memoryview) -> Iterator[tuple[int, int, int, memoryview]]:
    """Walk over the messages of one read: type, flags, sequence number and what follows the header, in place.

    Raises ValueError where a length is impossible.
    """
    at = 0
    while at < len(buffer):
        if len(buffer) - at < HEADER.size:
            raise ValueError("a netlink message is cut off")
        length, kind, flags, sequence, _ = HEADER.unpack_from(buffer, at)
        if not HEADER.size <= length <= len(buffer) - at:
            raise ValueError("a netlink message has an impossible length")
        yield kind, flags, sequence, buffer[at + HEADER.size : at + length]
        at += length + -length % 4


def attributes(buffer: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Walk over attributes: the type of each, and its content in place.

    Raises ValueError where a length is impossible.
    """
    at = 0
    while at < len(buffer):
        if len(buffer) - at < ATTRIBUTE.size:
            raise ValueError("a netlink attribute is cut off")
        length, kind = ATTRIBUTE.unpack_from(buffer, at)
        if not ATTRIBUTE.size <= length <= len(buffer) - at:
            raise ValueError("a netlink attribute has an impossible length")
        yield kind & TYPE_MASK, buffer[at + ATTRIBUTE.size : at + length]
        at += length + -length % 4
