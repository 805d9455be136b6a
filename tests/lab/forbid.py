"""Starts a program to which the kernel refuses a socket option, as one that does not know it."""

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
# struct seccomp_data: the number of the call, and its second and third argument.
NUMBER, LEVEL, OPTION = 0, 16 + 8, 16 + 16
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
SOL_SOCKET = 1


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def forbid(option: int) -> None:
    """Refuse an option of sockets to this process and its children."""
    steps = [
        (LOAD, 0, 0, NUMBER),
        (JUMP_IF_EQUAL, 0, 5, SETSOCKOPT[platform.machine()]),
        (LOAD, 0, 0, LEVEL),
        (JUMP_IF_EQUAL, 0, 3, SOL_SOCKET),
        (LOAD, 0, 0, OPTION),
        (JUMP_IF_EQUAL, 0, 1, option),
        (RETURN, 0, 0, REFUSE | errno.ENOPROTOOPT),
        (RETURN, 0, 0, ALLOW),
    ]
    program = Program(len(steps), b"".join(struct.pack("=HBBI", *step) for step in steps))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    forbid(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
