"""What an error of a database means: that it passes, that the disk is full, that it is ours."""

from __future__ import annotations

import sqlite3
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from wirewright.coordinator.errors import StorageFullError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wirewright.coordinator.errors import CoordinatorError


class Failure(Enum):
    """Kinds of failure."""

    PASSING = auto()
    """The same work may go well when it is tried again."""
    FULL = auto()
    UNAVAILABLE = auto()
    OURS = auto()
    """A mistake of the program: it must not be hidden."""


# https://www.postgresql.org/docs/current/errcodes-appendix.html; the first two characters are a class.
_SQLSTATES: Final[Mapping[str, Failure]] = {
    "40001": Failure.PASSING,
    "40P01": Failure.PASSING,
    "55P03": Failure.PASSING,
    "57P01": Failure.PASSING,
    "57P02": Failure.PASSING,
    "57P03": Failure.PASSING,
    "53300": Failure.PASSING,
    "25P03": Failure.PASSING,
    "08": Failure.PASSING,
    "57014": Failure.UNAVAILABLE,
    "53100": Failure.FULL,
    "53": Failure.UNAVAILABLE,
    "58": Failure.UNAVAILABLE,
    "28": Failure.UNAVAILABLE,
    "3D": Failure.UNAVAILABLE,
    "25006": Failure.UNAVAILABLE,
}
# https://sqlite.org/rescode.html; the low byte is the primary code.
_SQLITE: Final[Mapping[int, Failure]] = {
    sqlite3.SQLITE_BUSY: Failure.PASSING,
    sqlite3.SQLITE_LOCKED: Failure.PASSING,
    sqlite3.SQLITE_FULL: Failure.FULL,
    sqlite3.SQLITE_IOERR: Failure.UNAVAILABLE,
    sqlite3.SQLITE_CANTOPEN: Failure.UNAVAILABLE,
    sqlite3.SQLITE_READONLY: Failure.UNAVAILABLE,
    sqlite3.SQLITE_CORRUPT: Failure.UNAVAILABLE,
    sqlite3.SQLITE_NOTADB: Failure.UNAVAILABLE,
    sqlite3.SQLITE_NOMEM: Failure.UNAVAILABLE,
}


def classify(error: Exception) -> Failure:
    """Say what an error of SQLAlchemy, or of the system, means."""
    if isinstance(error, PoolTimeoutError):
        return Failure.UNAVAILABLE
    if isinstance(error, OSError):
        return Failure.PASSING
    if not isinstance(error, DBAPIError):
        return Failure.OURS
    origin = error.orig
    if isinstance(origin, sqlite3.Error):
        return _SQLITE.get(getattr(origin, "sqlite_errorcode", 0) & 0xFF, Failure.OURS)
    state = origin.sqlstate if isinstance(origin, psycopg.Error) else None
    if state is not None:
        return _SQLSTATES.get(state) or _SQLSTATES.get(state[:2], Failure.OURS)
    # psycopg has no state for a connection that it could not make, or that broke.
    lost = error.connection_invalidated or isinstance(origin, psycopg.OperationalError)
    return Failure.PASSING if lost else Failure.OURS


def refusal(failure: Failure, error: Exception) -> CoordinatorError | Exception:
    """Return what is raised in the place of a database's error: words for people, and no SQL."""
    match failure:
        case Failure.FULL:
            return StorageFullError("The disk of the database is full. Nothing of this request was applied.")
        case Failure.PASSING | Failure.UNAVAILABLE:
            return UnavailableError(
                f"The database cannot be used now ({_words(error)}). Nothing was applied."
            )
        case Failure.OURS:
            return error


def _words(error: Exception) -> str:
    origin = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    first = str(origin).strip().splitlines()[:1]
    return (first[0] if first else type(origin).__name__)[:200]
