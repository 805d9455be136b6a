"""No source file above 600 lines: a file has one idea, and is split before it has two."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 600
SUFFIXES = {".rs", ".py", ".pyi", ".sh", ".toml", ".md", ".js", ".css", ".html"}
# Lists that no one reads as a text.
EXEMPT = {"CHANGELOG.md"}
# What others wrote, packed: scripts/vendor_web.py.
PACKED = "src/wirewright/coordinator/web/static/vendor/"


def main() -> int:
    """Name each file that is too long."""
    too_long = [(path, lines) for path in sources() if (lines := count(path)) > LIMIT]
    for path, lines in too_long:
        sys.stderr.write(f"{path.relative_to(ROOT)}: {lines} lines; split it before it has {LIMIT}\n")
    return 1 if too_long else 0


def sources() -> list[Path]:
    """Return the files of the project, those not yet committed too, as git sees them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = (name for name in listed.stdout.split("\0") if name and is_ours(name))
    paths = (ROOT / name for name in names)
    return [path for path in paths if path.suffix in SUFFIXES and path.is_file()]


def is_ours(name: str) -> bool:
    """Return whether a file is one that somebody reads and writes here."""
    return name not in EXEMPT and not name.startswith(PACKED)


def count(path: Path) -> int:
    """Return the number of lines of `path`."""
    return path.read_bytes().count(b"\n")


if __name__ == "__main__":
    sys.exit(main())
