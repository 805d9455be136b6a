"""What each script of the page is, by its SHA-256.

A browser runs a script that a page names only if it is what the page says (Subresource Integrity), so that
one which a cache or a proxy changed is found out. Scripts that scripts import are not covered by that. Who
wants to know what all of them are compares them with those that are published with each version:
docs/page-scripts.sha256.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import cache
from pathlib import Path
from typing import Final

STATIC: Final = Path(__file__).parent / "static"
FOLDERS: Final = ("js", "vendor")
"""Where scripts are."""


@cache
def digest(path: str) -> bytes:
    """Return the SHA-256 of a static file."""
    return hashlib.sha256((STATIC / path).read_bytes()).digest()


def integrity(path: str) -> str:
    """Return what the attribute ``integrity`` of an element says that names a static file."""
    return f"sha256-{b64encode(digest(path)).decode()}"


def scripts() -> list[tuple[str, str]]:
    """Return the path and the SHA-256, in hexadecimal, of each script."""
    found = sorted(path for folder in FOLDERS for path in (STATIC / folder).glob("*.js"))
    paths = [str(path.relative_to(STATIC)) for path in found]
    return [(path, digest(path).hex()) for path in paths]


def listing() -> str:
    """Return the list that is published, as ``sha256sum`` writes and checks it."""
    return "".join(f"{sha256}  {path}\n" for path, sha256 in scripts())
