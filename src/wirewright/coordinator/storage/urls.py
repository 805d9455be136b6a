"""Where the database is: ``sqlite:///PATH`` or ``postgresql://USER@HOST/NAME``, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}


class DatabaseUrlError(ValueError):
    """An address of a database that cannot be used; the text shows no password."""


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """The address of a database; its ``repr`` shows no password."""

    sqlalchemy: URL

    @classmethod
    def parse(cls, text: str) -> DatabaseUrl:
        """Read an address, or raise `DatabaseUrlError`."""
        try:
            url = make_url(text)
        except (ArgumentError, ValueError):
            raise DatabaseUrlError(_HELP) from None
        driver = _DRIVERS.get(url.drivername)
        if driver is None:
            raise DatabaseUrlError(f"{url.drivername[:40]} is no database of ours. {_HELP}")
        url = url.set(drivername=driver)
        if driver.startswith("sqlite") and url.database in {None, "", ":memory:"}:
            raise DatabaseUrlError(f"SQLite needs a file. {_HELP}")
        return cls(url)

    @classmethod
    def file(cls, path: Path) -> DatabaseUrl:
        """Return the address of a SQLite file."""
        return cls(URL.create("sqlite+aiosqlite", database=str(path)))

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of SQLite."""
        return self.sqlalchemy.drivername.startswith("sqlite")

    def libpq(self) -> str:
        """Return the address as psycopg takes it, with the password if there is one."""
        return self.sqlalchemy.set(drivername="postgresql").render_as_string(hide_password=False)

    def __str__(self) -> str:
        driverless = self.sqlalchemy.set(drivername="sqlite" if self.is_sqlite else "postgresql")
        return driverless.render_as_string(hide_password=True)


_HELP = "Name it as sqlite:////absolute/path or postgresql://user@host/name."
