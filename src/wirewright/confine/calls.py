"""The system calls that the standard library does not have, or has only in newer Pythons.

All raise OSError.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from typing import Final

CLONE_NEWNS: Final = 0x0002_0000
CLONE_NEWUSER: Final = 0x1000_0000
CLONE_NEWNET: Final = 0x4000_0000

MS_BIND: Final = 0x1000
MNT_DETACH: Final = 2

_TUN: Final = "/dev/net/tun"
_TUNSETIFF: Final = 0x4004_54CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
_IFF_VNET_HDR: Final = 0x4000
_IFREQ: Final = "16sH22x"

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION_3: Final = 0x2008_0522

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones."""
    _check(_libc.unshare(flags))


def mount(source: str, target: str, kind: str | None, flags: int = 0, options: str | None = None) -> None:
    """Mount a file system of a kind, or, with ``MS_BIND``, what is elsewhere already."""
    kind_bytes = kind.encode() if kind else None
    options_bytes = options.encode() if options else None
    outcome = _libc.mount(
        os.fsencode(source), os.fsencode(target), kind_bytes, ctypes.c_ulong(flags), options_bytes
    )
    _check(outcome, target)


def unmount(target: str) -> None:
    """Take away what was mounted last; what is bound from it elsewhere stays."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), target)


def open_tun(name: str) -> int:
    """Make a TUN interface in this network namespace; it goes with the last copy of the descriptor."""
    descriptor = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        flags = _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack(_IFREQ, name.encode(), flags))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def die_with_parent(number: int) -> None:
    """Have the kernel send this process a signal when the thread that forked it ends."""
    _prctl(_PR_SET_PDEATHSIG, number)


def refuse_core_files() -> None:
    """Have no core file written of this process, and let no other of its user look into it."""
    _prctl(_PR_SET_DUMPABLE, 0)


def give_up_privileges() -> None:
    """Give up all capabilities, for good: no program that is executed from here on gains any.

    After ``no_new_privs``, executing a program gives no more than there was before, which is nothing.
    The bounding set stays. To empty it would add nothing to ``no_new_privs``, and a program whose file has
    capabilities that are not in it, as ping's often has, cannot be executed at all (capabilities(7)).
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    # The ambient ones go with the permitted ones.
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, bytes(24)))


def _prctl(option: int, argument: int) -> None:
    _check(_libc.prctl(option, ctypes.c_ulong(argument), *[ctypes.c_ulong(0)] * 3))


def _check(outcome: int, path: str | None = None) -> None:
    if outcome:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
