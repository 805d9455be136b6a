"""Pin what pyproject.toml asks for, with hashes, in requirements/<group>.txt.

Run by `make lock`. All groups are resolved together first, so that one environment can hold them all, and for
every supported Python and platform at once (markers tell them apart). The files carry no index, no link and
no path: they install from any index that serves the same files as PyPI.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
HEADER = "# Written by `make lock` from pyproject.toml; do not edit.\n"


def main() -> int:
    """Resolve everything, then write one file a group."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upgrade", action="store_true", help="move to the newest versions allowed")
    upgrade = parser.parse_args().upgrade

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = list(project["dependency-groups"])
    REQUIREMENTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        everything = Path(scratch) / "everything.txt"
        if not upgrade:
            everything.write_text(pins_so_far())
        sources = ["pyproject.toml", "--all-extras", *(f"--group={group}" for group in groups)]
        compile_pins(sources, everything, [])
        held = [f"--constraint={everything}"]
        write("runtime", ["pyproject.toml"], held, scratch)
        for group in groups:
            write(group, [f"--group={group}"], held, scratch)
    return 0


def pins_so_far() -> str:
    """Return the pins of all present files, without hashes, as the resolver's preference."""
    found: set[str] = set()
    for path in sorted(REQUIREMENTS.glob("*.txt")):
        found.update(re.findall(r"^\S+==[^\\\n]+", path.read_text(), re.MULTILINE))
    return "".join(f"{pin.strip()}\n" for pin in sorted(found))


def write(name: str, sources: list[str], held: list[str], scratch: str) -> None:
    """Pin one group within what the common resolution chose."""
    pinned = Path(scratch) / f"{name}.txt"
    compile_pins(sources, pinned, held)
    (REQUIREMENTS / f"{name}.txt").write_text(HEADER + pinned.read_text())
    sys.stdout.write(f"requirements/{name}.txt\n")


def compile_pins(sources: list[str], output: Path, options: list[str]) -> None:
    """Resolve `sources` into `output`, which holds preferred versions if it exists."""
    command = [sys.executable, "-m", "uv", "--quiet", "--no-config", "pip", "compile"]
    command += ["--universal", "--python-version=3.11", "--generate-hashes"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    subprocess.run([*command, f"--output-file={output}", *options, *sources], check=True, cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main())
