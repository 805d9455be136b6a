"""Where a gateway's private key lives: in a file of its own, on the gateway, for its owner alone.

Nobody else is told it, the coordinator neither: that gets the public key. Whoever has the file can pass for
the gateway; who loses it makes another key, which all devices must then be told.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from wirewright.config.keyfile import read_secret_key
from wirewright.host.exposure import is_exposed
from wirewright.keys import SecretKey

if TYPE_CHECKING:
    from pathlib import Path


def read_or_make_key(path: Path) -> SecretKey:
    """Read the key of a gateway; make one, in a file of mode 0600, if there is none.

    Raises OSError, with words for a person: the file cannot be read or made, holds no key, or lies open to
    other users.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        return _make(path)


def _read(path: Path) -> SecretKey:
    if is_exposed(path):
        raise PermissionError(
            errno.EPERM,
            "other users may read or write this private key: chmod 600 it, and make another "
            "(move it away) if it may have been read",
            str(path),
        )
    try:
        key = read_secret_key(path)
    except ValueError as error:
        raise OSError(errno.EINVAL, f"this is no private key: {error}", str(path)) from None
    if key is None:
        raise OSError(errno.EINVAL, "this file of a private key is empty: remove it", str(path))
    return key


def _make(path: Path) -> SecretKey:
    """Make a key, so that the file is there with all of it, or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = SecretKey.generate()
    new = path.with_name(f"{path.name}.new")
    with suppress(FileNotFoundError):
        # One that was left by who was interrupted; nobody was told of its key.
        new.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(new, flags, 0o600)
    try:
        key.write(descriptor)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        # Unlike a rename, this fails where another process was faster.
        os.link(new, path)
    except FileExistsError:
        return _read(path)
    finally:
        new.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return key
