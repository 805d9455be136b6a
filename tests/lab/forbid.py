"""Starts a program to which the kernel refuses a socket option, or joined packets, as some kernels do."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
SETSOCKOPT = {"x86_64": 54, "aarch64": 208}
WRITEV = {"x86_64": 20, "aarch64": 66}
# struct seccomp_data: the number of the call, and its second and third argument.
NUMBER, LEVEL, OPTION = 0, 16 + 8, 16 + 16
PIECES = OPTION
LOAD, JUMP_IF_EQUAL, JUMP_IF_GREATER, RETURN = 0x20, 0x15, 0x25, 0x06
SOL_SOCKET = 1
# Pieces of a packet that was not joined: a header for the device, and the packet.
SINGLE = 2

Steps = list[tuple[int, int, int, int]]


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def option_of_sockets(option: int) -> Steps:
    """Refuse an option of sockets."""
    return [
        (LOAD, 0, 0, NUMBER),
        (JUMP_IF_EQUAL, 0, 5, SETSOCKOPT[platform.machine()]),
        (LOAD, 0, 0, LEVEL),
        (JUMP_IF_EQUAL, 0, 3, SOL_SOCKET),
        (LOAD, 0, 0, OPTION),
        (JUMP_IF_EQUAL, 0, 1, option),
        (RETURN, 0, 0, REFUSE | errno.ENOPROTOOPT),
        (RETURN, 0, 0, ALLOW),
    ]


def joined_packets() -> Steps:
    """Refuse what is written in more pieces than a packet that was not joined."""
    return [
        (LOAD, 0, 0, NUMBER),
        (JUMP_IF_EQUAL, 0, 3, WRITEV[platform.machine()]),
        (LOAD, 0, 0, PIECES),
        (JUMP_IF_GREATER, 0, 1, SINGLE),
        (RETURN, 0, 0, REFUSE | errno.EINVAL),
        (RETURN, 0, 0, ALLOW),
    ]


def forbid(steps: Steps) -> None:
    """Have this process and its children filtered."""
    program = Program(len(steps), b"".join(struct.pack("=HBBI", *step) for step in steps))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    forbid(joined_packets() if sys.argv[1] == "joined" else option_of_sockets(int(sys.argv[1])))
    os.execvp(sys.argv[2], sys.argv[2:])
