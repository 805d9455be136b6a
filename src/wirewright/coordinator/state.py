"""The state directory: what a coordinator keeps on its machine, for its owner only.

=======================  ====================================================================================
file                     what
=======================  ====================================================================================
``coordinator.sqlite``   the database, unless it is elsewhere
``admin.token``          a token of the first administrator, written at the first start
``gateway.key``          the private key of the gateway in the same process; in no database, told to nobody
``coordinator.json``     where the API is, while it runs
``coordinator.lock``     held by who works here: one process, or one restoration
``restored.whole/``      a restoration that is whole, and whose files are on their way to their places
=======================  ====================================================================================
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wirewright.client.places import TOKEN
from wirewright.client.secret_files import is_private, sync_directory, write_secret
from wirewright.gateway.key import read_or_make_key

if TYPE_CHECKING:
    from wirewright.coordinator.services.credentials import Secret
    from wirewright.keys import SecretKey

DATABASE: Final = "coordinator.sqlite"
GATEWAY_KEY: Final = "gateway.key"
FILES: Final = (GATEWAY_KEY, TOKEN)
"""What a backup has besides the database."""
_SQLITE: Final = b"SQLite format 3\0"
_LOCK: Final = "coordinator.lock"
_RESTORED: Final = "restored"
_WHOLE: Final = "restored.whole"


class StateError(OSError):
    """The state directory cannot be used; the text says why, and what to do about it."""


class StateDirectory:
    """A directory that is this user's, and closed to all others."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Make it, if it is not there; raise `StateError` if it is somebody else's, or open to others."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            private = is_private(self.path)
        except OSError as error:
            words = f"{error.strerror or error}; the coordinator's state cannot be kept there"
            raise StateError(error.errno or errno.EIO, words, str(self.path)) from None
        if not private:
            words = "this directory will hold keys, and must be yours and closed to others: chmod 700 it"
            raise StateError(errno.EPERM, words, str(self.path))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep others out while the block runs; finish what a restoration before left to do."""
        lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                words = (
                    "a coordinator runs here: stop it first, or name another directory with --state-directory"
                )
                raise StateError(errno.EBUSY, words, str(self.path)) from None
            self._finish_restoring()
            yield
        finally:
            os.close(lock)

    @property
    def database(self) -> Path:
        """The database's file."""
        return self.path / DATABASE

    def prepare_database(self) -> None:
        """Make an empty file, if there is none, that only its owner can read; SQLite's others follow it."""
        descriptor = os.open(self.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            first = os.pread(descriptor, len(_SQLITE), 0)
        finally:
            os.close(descriptor)
        if first not in {b"", _SQLITE}:
            words = "this is no database of SQLite. Restore it from a backup (ww serve restore --force)"
            raise StateError(errno.EINVAL, words, str(self.database))

    @property
    def token(self) -> Path:
        """The file of the administrator's token."""
        return self.path / TOKEN

    def keep_token(self, token: Secret) -> None:
        """Write the administrator's token, in the place of one of before."""
        write_secret(self.token, token.expose(), replace=True)

    def gateway_key(self) -> SecretKey:
        """Return the private key of the gateway in this process; make it at the first time."""
        return read_or_make_key(self.path / GATEWAY_KEY)

    # A restoration: all files are written into a folder, and then moved, which a crash only interrupts.

    @contextmanager
    def restoring(self) -> Iterator[Path]:
        """Give an empty folder for files; once the block ends well, they take the places of those here."""
        folder = self.path / _RESTORED
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        try:
            yield folder
            for file in folder.iterdir():
                descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fchmod(descriptor, 0o600)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            sync_directory(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        # From here on it is done: what is left is finished by whoever comes next.
        folder.rename(self.path / _WHOLE)
        sync_directory(self.path)
        self._finish_restoring()

    def _finish_restoring(self) -> None:
        folder = self.path / _WHOLE
        if not folder.is_dir():
            return
        if (folder / DATABASE).exists():
            # They belong to the database that goes, and would be taken for the new one's.
            for rest in ("-wal", "-shm", "-journal"):
                (self.path / f"{DATABASE}{rest}").unlink(missing_ok=True)
        for file in folder.iterdir():
            file.replace(self.path / file.name)
        sync_directory(self.path)
        folder.rmdir()
        sync_directory(self.path)
