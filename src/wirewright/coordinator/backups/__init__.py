"""Backups: one encrypted file with the rows of a database and the keys of a state directory.

``sealing`` is the file's encryption, ``rows`` the way of a database into lines of JSON and back, which is the
same for SQLite and PostgreSQL, so that a backup of the one can be restored into the other. ``backup`` and
``restore`` put them together.
"""

from wirewright.coordinator.backups.backup import back_up
from wirewright.coordinator.backups.restore import NotEmptyError, restore
from wirewright.coordinator.backups.sealing import BackupError

__all__ = ["BackupError", "NotEmptyError", "back_up", "restore"]
