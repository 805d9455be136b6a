"""What outlives an interface that ends without a word: notes under ``/run`` of who needs it.

One such thing is a number of the kernel's that several interfaces may need, and nobody when the last one is
gone; beside the notes lies what it was before the first of them. Another is what the resolver was told. An
interface may be set up by one process and taken down by another. The folder bears the number of the network
namespace, which interfaces belong to.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wirewright.host import sysctl

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN: Final = Path("/run/wirewright")
RESOLVER: Final = "resolver"
"""Stands for what the resolver was told."""
_BEFORE: Final = "before"


def need(name: str, value: str, interface: str) -> None:
    """Set a sysctl for an interface, and note what it was unless one that exists needs it. Raises OSError."""
    with _alone():
        folder = _folder(name)
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            if not _needed(folder):
                folder.joinpath(_BEFORE).write_text(sysctl.read(name))
            _note(folder, interface).touch()
            sysctl.write(name, value)
        except BaseException:
            _release(name, interface)
            raise


def release(name: str, interface: str) -> None:
    """Take back what was set for an interface, unless another one that exists needs it too.

    Raises OSError.
    """
    with _alone():
        _release(name, interface)


def _release(name: str, interface: str) -> None:
    folder = _folder(name)
    _note(folder, interface).unlink(missing_ok=True)
    if _needed(folder):
        return
    with contextlib.suppress(FileNotFoundError):
        before = folder.joinpath(_BEFORE).read_text()
        if sysctl.read(name) != before:
            sysctl.write(name, before)
        folder.joinpath(_BEFORE).unlink()
    _tidy(folder)


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
    return RUN / str(Path("/proc/self/ns/net").stat().st_ino) / name


def _note(folder: Path, interface: str) -> Path:
    return folder / f"for-{interface}"
