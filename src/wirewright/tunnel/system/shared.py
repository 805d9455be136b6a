"""A number of the kernel's that several interfaces may need, and nobody when the last one is gone.

Who needs it is noted in files under ``/run``, beside what it was before the first of them: an interface may
be set up by one process and taken down by another. The folder bears the number of the network namespace,
which such numbers belong to.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wirewright.host import sysctl

if TYPE_CHECKING:
    from collections.abc import Iterable

RUN: Final = Path("/run/wirewright")
_BEFORE: Final = "before"


def need(name: str, value: str, interface: str, existing: Iterable[str]) -> None:
    """Set a sysctl for an interface, and note what it was unless one that exists needs it. Raises OSError."""
    folder = _folder(name)
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not _needed(folder, existing):
        folder.joinpath(_BEFORE).write_text(sysctl.read(name))
    _note(folder, interface).touch()
    sysctl.write(name, value)


def release(name: str, interface: str, existing: Iterable[str]) -> None:
    """Take back what was set for an interface, unless another one that exists needs it too.

    Raises OSError.
    """
    folder = _folder(name)
    _note(folder, interface).unlink(missing_ok=True)
    if _needed(folder, existing):
        return
    with contextlib.suppress(FileNotFoundError):
        before = folder.joinpath(_BEFORE).read_text()
        if sysctl.read(name) != before:
            sysctl.write(name, before)
        folder.joinpath(_BEFORE).unlink()
    for path in (folder, folder.parent, RUN):
        # The last one out: the folders of others are not empty.
        with contextlib.suppress(OSError):
            path.rmdir()


def is_needed_by(name: str, interface: str) -> bool:
    """Whether something is to be released for an interface."""
    return _note(_folder(name), interface).exists()


def _needed(folder: Path, existing: Iterable[str]) -> bool:
    """Whether an interface needs it; of those that went without a word, the notes are removed."""
    known = set(existing)
    needed = False
    for note in list(folder.glob("for-*")):
        if note.name.removeprefix("for-") in known:
            needed = True
        else:
            note.unlink(missing_ok=True)
    return needed


def _folder(name: str) -> Path:
    return RUN / str(Path("/proc/self/ns/net").stat().st_ino) / name


def _note(folder: Path, interface: str) -> Path:
    return folder / f"for-{interface}"
