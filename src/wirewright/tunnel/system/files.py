"""What an interface may be called, and where its file is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from wirewright.tunnel.system.errors import InterfaceError

DIRECTORY: Final = Path("/etc/wireguard")
"""Where the file of an interface is looked for that is named without a directory."""
NAME: Final = re.compile(r"[a-zA-Z0-9_=+.-]{1,15}", re.ASCII)


def check_name(name: str) -> None:
    """Raise InterfaceError unless `name` may be the name of an interface, as ``wg-quick`` has it."""
    if not NAME.fullmatch(name) or name in (".", ".."):
        raise InterfaceError(
            f"{name!r} cannot be the name of an interface: that has 1 to 15 letters, digits and _=+.-"
        )


def find_file(path: str | os.PathLike[str]) -> Path:
    """Find the file of a name such as ``wg0``, or of a path that ends in ``.conf``. Raises InterfaceError."""
    text = os.fspath(path)
    if NAME.fullmatch(text) and not text.endswith(".conf"):
        check_name(text)
        return DIRECTORY / f"{text}.conf"
    file = Path(text)
    if file.suffix != ".conf":
        raise InterfaceError(f"{text}: neither the name of an interface nor a file that ends in .conf")
    check_name(file.name.removesuffix(".conf"))
    return file
