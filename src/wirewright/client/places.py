"""Where a coordinator keeps its things on a machine, and what it tells others of itself there.

The state directory is its owner's alone. A coordinator that runs leaves a record in it that says where its
API is, so that commands on the same machine need not be told.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import platformdirs

SYSTEM: Final = Path("/var/lib/wirewright")
TOKEN: Final = "admin.token"  # noqa: S105 (the name of a file)
RECORD: Final = "coordinator.json"
_RECORD_BYTES: Final = 64 * 1024


def state_directory() -> Path:
    """Return where a coordinator of this user keeps its state, unless it is told otherwise."""
    if os.geteuid() == 0:
        return SYSTEM
    return platformdirs.user_state_path("wirewright")


@dataclass(frozen=True, slots=True)
class Record:
    """What a running coordinator says of itself."""

    url: str
    """Where commands on this machine find its API."""
    public_url: str | None = None
    """Where others do, if somebody said so."""

    def write(self, state: Path) -> None:
        """Leave it in a state directory."""
        data = {"url": self.url, "public_url": self.public_url}
        new = state / f"{RECORD}.new"
        new.write_text(json.dumps(data) + "\n")
        new.replace(state / RECORD)

    @classmethod
    def read(cls, state: Path) -> Record | None:
        """Return what lies in a state directory; ``None`` if there is nothing that can be read."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            with (state / RECORD).open("rb") as file:
                data: dict[str, Any] = json.loads(file.read(_RECORD_BYTES))
            public = data["public_url"]
            return cls(str(data["url"]), None if public is None else str(public))
        return None

    @staticmethod
    def remove(state: Path) -> None:
        """Take it away: nothing runs."""
        with suppress(OSError):
            (state / RECORD).unlink()
