"""What outlives an interface that ends without a word: notes under ``/run`` of who needs it.

One such thing is a number of the kernel's that several interfaces may need, and nobody when the last one is
gone; beside the notes lies what it was before the first of them. Another is what the resolver was told. An
interface may be set up by one process and taken down by another. The folder bears the cookie of the network
namespace, which interfaces belong to: unlike the number of its file it is given once, so that notes of a
namespace that ended are nobody's.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from wirewright.host import sysctl

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN: Final = Path("/run/wirewright")
RESOLVER: Final = "resolver"
"""Stands for what the resolver was told."""
_BEFORE: Final = "before"
_SO_NETNS_COOKIE: Final = 71
"""Of include/uapi/asm-generic/socket.h, since Linux 5.14."""


def need(name: str, value: str, interface: str, said: str = "") -> None:
    """Set a sysctl for an interface, and note what it was unless one that exists needs it. Raises OSError.

    What is ``said`` the first time for an interface is kept until it is released: see :func:`said_of`.
    """
    with _alone():
        folder = _folder(name)
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            if not _needed(folder) and not _is_left(folder, name, value):
                folder.joinpath(_BEFORE).write_text(sysctl.read(name))
            if not (note := _note(folder, interface)).exists():
                note.write_text(said)
            sysctl.write(name, value)
        except BaseException:
            _release(name, interface)
            raise


def release(name: str, interface: str, *, restore: bool = True) -> None:
    """Take back what was set for an interface, unless another one that exists needs it too.

    Without ``restore`` it stays as it is. Raises OSError.
    """
    with _alone():
        _release(name, interface, restore=restore)


def said_of(name: str, interface: str) -> str | None:
    """Give what was said when an interface began to need something; None if it does not need it."""
    try:
        return _note(_folder(name), interface).read_text()
    except FileNotFoundError:
        return None


def folder() -> Path:
    """Give where the notes are of interfaces in this network namespace; it is there as long as one is."""
    return RUN / _namespace()


def needs_of(interface: str) -> list[str]:
    """Give the names of all that an interface needs, or left."""
    return sorted(unquote(note.parent.name) for note in folder().glob(f"*/for-{interface}"))


def _release(name: str, interface: str, *, restore: bool = True) -> None:
    folder = _folder(name)
    _note(folder, interface).unlink(missing_ok=True)
    if _needed(folder):
        return
    # What it is about may have gone, as the settings of an interface go with it.
    with contextlib.suppress(FileNotFoundError):
        before = folder.joinpath(_BEFORE).read_text()
        if restore and sysctl.read(name) != before:
            sysctl.write(name, before)
    folder.joinpath(_BEFORE).unlink(missing_ok=True)
    _tidy(folder)


def _is_left(folder: Path, name: str, value: str) -> bool:
    """Whether all that needed it went without a word, and what it was before them is noted still."""
    return folder.joinpath(_BEFORE).exists() and sysctl.read(name) == value


def note(what: str, interface: str) -> None:
    """Note that an interface left something. Raises OSError."""
    with _alone():
        _folder(what).mkdir(mode=0o755, parents=True, exist_ok=True)
        _note(_folder(what), interface).touch()


def forget(what: str, interface: str) -> None:
    """Remove a note, if there is one. Raises OSError."""
    with _alone():
        _note(_folder(what), interface).unlink(missing_ok=True)
        _tidy(_folder(what))


def _tidy(folder: Path) -> None:
    for path in (folder, folder.parent, RUN):
        # The last one out: the folders of others are not empty.
        with contextlib.suppress(OSError):
            path.rmdir()


def is_needed_by(name: str, interface: str) -> bool:
    """Whether something is to be released for an interface, or was noted of it."""
    return _note(_folder(name), interface).exists()


def path_of(name: str, interface: str) -> Path:
    """Give the file that notes of an interface what it needs, or left."""
    return _note(_folder(name), interface)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Have others who need or release something wait: two interfaces may be set up at once."""
    # Beside the folder, which is removed when it is empty.
    with RUN.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _needed(folder: Path) -> bool:
    """Whether an interface needs it; of those that went without a word, the notes are removed."""
    needed = False
    for note in list(folder.glob("for-*")):
        try:
            socket.if_nametoindex(note.name.removeprefix("for-"))
        except OSError:
            note.unlink(missing_ok=True)
        else:
            needed = True
    return needed


def _folder(name: str) -> Path:
    # A dot in an interface's name is a slash in that of a setting.
    return folder() / quote(name, safe="")


def _namespace() -> str:
    """Name the network namespace of this process."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as one:
        try:
            cookie = one.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
        except OSError:
            # An older kernel.
            return str(Path("/proc/self/ns/net").stat().st_ino)
    return f"cookie-{int.from_bytes(cookie, sys.byteorder)}"


def _note(folder: Path, interface: str) -> Path:
    return folder / f"for-{interface}"
