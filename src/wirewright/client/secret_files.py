"""Files with one secret of the coordinator's in them: a token, an invitation, a passphrase."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from wirewright.client.errors import AccessError
from wirewright.host.exposure import is_exposed

LARGEST: Final = 4096
"""Bytes of such a file that are read."""


def read_secret(path: Path, what: str) -> str:
    """Return the only line of a file; raise `AccessError` if others may read it, or if it has none."""
    # A secret may come from a pipe: that is read as it is.
    with path.open("rb") as file:
        if is_exposed(file.fileno()):
            raise AccessError(f"Other users may read or write {path}, which holds {what}: chmod 600 it.")
        text = file.read(LARGEST)
    return only_line(text, f"{path} holds", what)


def read_public(path: Path, what: str) -> str:
    """Return the only line of a file that everybody may read; raise `AccessError` if it has none."""
    with path.open("rb") as file:
        return only_line(file.read(LARGEST), f"{path} holds", what)


def only_line(text: bytes, where: str, what: str) -> str:
    """Return the line that a text consists of; ``where`` begins the sentence that says there is none."""
    try:
        lines = text.decode().split("\n")
    except UnicodeDecodeError:
        lines = []
    if len(text) >= LARGEST or not lines or not lines[0].strip() or any(line.strip() for line in lines[1:]):
        raise AccessError(f"{where} something else than {what} on one line.")
    return lines[0].strip()


def write_secret(path: Path, text: str, *, replace: bool = False) -> None:
    """Write a file of one line as `private_file` does."""
    with private_file(path, replace=replace) as file:
        file.write(f"{text}\n".encode())


@contextmanager
def private_file(path: Path, *, replace: bool = False) -> Iterator[BinaryIO]:
    """Give a file to write to, which only its owner can read, and which is there wholly or not at all.

    Raises `OSError`; `FileExistsError` if there is something of the name and it is not to be replaced.
    """
    refuse_existing(path, replace=replace)
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            yield file
            file.flush()
            os.fsync(descriptor)
        if replace:
            new.replace(path)
        else:
            # Unlike a rename, this fails where a file is.
            os.link(new, path)
    finally:
        new.unlink(missing_ok=True)
    sync_directory(path.absolute().parent)


def refuse_existing(path: Path, *, replace: bool) -> None:
    """Raise `FileExistsError` for a file that is there, unless it is to be replaced."""
    if not replace and os.path.lexists(path):
        raise FileExistsError(
            errno.EEXIST, "there is such a file already: name another, or move it away", str(path)
        )


def sync_directory(directory: Path) -> None:
    """Have the names in a directory on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_private(path: Path) -> bool:
    """Whether a directory is this user's, and closed to all others."""
    status = path.stat()
    return status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o077
