"""Whether a file that holds a secret lies open to other users of the machine.

The one rule for all such files: they must neither be able to read nor to write it. Whoever is in the file's
group was let in on purpose. A folder on the way that lets no others in protects what is in it, as
``/etc/wireguard`` mostly does. Access lists (``setfacl``) are not looked at.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def is_exposed(file: int | str | os.PathLike[str]) -> bool:
    """Whether other users may read or write a file, which is named or open. Raises OSError.

    Of what is no file, such as a pipe or a terminal, nothing is said.
    """
    status = os.stat(file)  # noqa: PTH116 - of a descriptor, too
    if not stat.S_ISREG(status.st_mode) or not status.st_mode & (stat.S_IROTH | stat.S_IWOTH):
        return False
    path = Path(f"/proc/self/fd/{file}" if isinstance(file, int) else file)
    return all(_lets_others_in(folder) for folder in path.resolve().parents)


def _lets_others_in(folder: Path) -> bool:
    try:
        return bool(folder.stat().st_mode & stat.S_IXOTH)
    except OSError:
        # Where we cannot see, we warn.
        return True
