"""Settings of the kernel, those of the network as they are in the network namespace of the process.

A name is as in sysctl(8): ``net.ipv4.conf.all.src_valid_mark``, where a dot in an interface's name is a
slash, as in ``net.ipv4.conf.eth0/7.forwarding``. Both functions raise OSError with words for a person.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

SETTINGS = Path("/proc/sys")

_SWAPPED = str.maketrans("./", "/.")
_REASONS = {
    errno.ENOENT: "this kernel, or this network namespace, has no such setting",
    errno.EROFS: "/proc/sys is read-only, as in most containers; set it where the container is started",
    errno.EINVAL: "the kernel does not take this value",
}


def read(name: str) -> str:
    """Give a setting, without the end of its line."""
    path = _path(name)
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").removesuffix("\n")
    except OSError as error:
        raise _told(f"cannot read {name}", error) from None


def write(name: str, value: str) -> None:
    """Change a setting.

    Where nothing can be set, as in a container, it is enough that the host has set it so already.
    """
    path = _path(name)
    try:
        # Unbuffered, so that the kernel sees one write and its answer is heard.
        with path.open("wb", buffering=0) as file:
            file.write(f"{value}\n".encode("utf-8", "surrogateescape"))
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM) and _is(path, value):
            return
        raise _told(f"cannot set {name} to {value}", error) from None


def _path(name: str) -> Path:
    parts = name.translate(_SWAPPED).split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise OSError(errno.EINVAL, f"{name!r} is no name of a setting")
    return SETTINGS.joinpath(*parts)


def _is(path: Path, value: str) -> bool:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").removesuffix("\n") == value
    except OSError:
        return False


def _told(what: str, error: OSError) -> OSError:
    """Say what could not be done, why, and what to do about it."""
    number = error.errno or errno.EIO
    reason = _REASONS.get(number, error.strerror or str(error))
    if number in (errno.EACCES, errno.EPERM) and os.geteuid() != 0:
        reason = "this takes root"
    return OSError(number, f"{what}: {reason}")
