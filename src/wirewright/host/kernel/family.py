"""A socket of generic netlink that speaks to the family ``wireguard``."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Final, Self

from wirewright.host.kernel.attributes import GENERIC, Writer, attributes, messages, number_message
from wirewright.host.kernel.decode import Dump, number
from wirewright.host.kernel.encode import VERSION, set_messages
from wirewright.host.kernel.numbers import FAMILY, Command, DeviceAttribute
from wirewright.host.wiped import Wiped, wipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from wirewright.host.device import DeviceChange, DeviceState

# linux/netlink.h, linux/genetlink.h
NETLINK_GENERIC: Final = 16
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_DUMP = 0x1, 0x4, 0x10, 0x300
GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 16, 3
CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 1, 2

MAX_ERRNO: Final = 4095

RECEIVED: Final = 65_536
ATTEMPTS: Final = 20
"""Dumps of an interface that changes meanwhile, before it is given up."""
PATIENCE: Final = 10.0
"""Seconds that the kernel may take to answer."""


class WireGuardFamily:
    """The kernel's WireGuard. Raises FileNotFoundError where the kernel has none."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_GENERIC
        )
        self._sequence = 0
        try:
            self._socket.settimeout(PATIENCE)
            self._socket.bind((0, 0))
            self._family = self._resolve()
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def get(self, name: str) -> DeviceState:
        """Tell the state of an interface. Raises OSError: ENODEV, EOPNOTSUPP where it is another kind."""
        for _ in range(ATTEMPTS):
            dump = Dump(name)
            with Wiped(1024) as buffer:
                writer = Writer(buffer)
                writer.begin(Command.GET_DEVICE, VERSION)
                writer.attribute(DeviceAttribute.IFNAME, _name(name))
                whole = self._call(writer.finish(self._family, NLM_F_REQUEST | NLM_F_DUMP), dump.add)
            if whole:
                return dump.state()
        raise OSError(errno.EINTR, f"{name} changes faster than it can be read")

    def set(self, name: str, change: DeviceChange) -> None:
        """Change an interface. Raises OSError; what came before the part that was refused stays."""
        _name(name)
        for message in set_messages(name, change, self._family, NLM_F_REQUEST | NLM_F_ACK):
            self._call(message, lambda _: None)

    def _resolve(self) -> int:
        found: list[int] = []

        def take(part: memoryview) -> None:
            for kind, content in attributes(part):
                if kind == CTRL_ATTR_FAMILY_ID:
                    found.append(number("=H", content))

        with Wiped(256) as buffer:
            writer = Writer(buffer)
            writer.begin(CTRL_CMD_GETFAMILY, 1)
            writer.attribute(CTRL_ATTR_FAMILY_NAME, FAMILY.encode() + b"\0")
            self._call(writer.finish(GENL_ID_CTRL, NLM_F_REQUEST | NLM_F_ACK), take)
        if not found:
            raise OSError(errno.EBADMSG, "the kernel does not tell the number of its WireGuard")
        return found[0]

    def _call(self, message: memoryview, take: Callable[[memoryview], None]) -> bool:
        """Send a request and take its answers. False: what was told changed while it was told."""
        whole = True
        self._sequence += 1
        number_message(message, self._sequence)
        self._socket.send(message)
        with Wiped(RECEIVED) as buffer, memoryview(buffer) as view:
            while True:
                length = self._received(buffer)
                try:
                    for kind, flags, sequence, body in messages(view[:length]):
                        if sequence != self._sequence:
                            # What is left of an answer that was given up.
                            continue
                        whole = whole and not flags & NLM_F_DUMP_INTR
                        if kind in (NLMSG_ERROR, NLMSG_DONE):
                            _check(number("=i", body[:4]))
                            return whole
                        take(body[GENERIC.size :])
                except ValueError as error:
                    raise OSError(errno.EBADMSG, f"the kernel's answer is not understood: {error}") from None
                wipe(view[:length])

    def _received(self, buffer: bytearray) -> int:
        try:
            return self._socket.recv_into(buffer)
        except TimeoutError:
            raise TimeoutError(errno.ETIMEDOUT, "the kernel takes too long to answer") from None


def _check(code: int) -> None:
    if not -MAX_ERRNO <= code <= 0:
        raise ValueError("there is no such error number")
    if code:
        raise OSError(-code, os.strerror(-code))


def _name(name: str) -> bytes:
    encoded = name.encode("utf-8", "surrogateescape")
    if not 0 < len(encoded) < 16 or b"\0" in encoded:
        raise OSError(errno.EINVAL, "the name of an interface has 1 to 15 bytes", name)
    return encoded + b"\0"
