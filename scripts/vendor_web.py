"""Pack other people's scripts for the page into src/wirewright/coordinator/web/static/vendor.

The files are committed, so that neither a wheel nor `make demo` takes Node. This makes them again, byte for
byte, from the versions that scripts/web/package-lock.json names by their hashes; `--check` only compares.
Run it after a change of scripts/web/package.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
VENDOR: Final = ROOT / "src/wirewright/coordinator/web/static/vendor"
WEB: Final = ROOT / "scripts/web"
MODULES: Final = {
    "x25519.js": 'export { x25519 } from "@noble/curves/ed25519.js";',
    "qr.js": 'export { encodeQR } from "qr";',
    "fflate.js": 'export { zipSync } from "fflate";',
    "uplot.js": 'export { default } from "uplot";',
}
COPIES: Final = {
    "htmx.js": "htmx.org/dist/htmx.min.js",
    "uplot.css": "uplot/dist/uPlot.min.css",
    "axe.js": "axe-core/axe.min.js",
}
LICENCES: Final = ("htmx.org", "uplot", "@noble/curves", "@noble/hashes", "qr", "fflate")


def main() -> int:
    """Make the files, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a file differs")
    parser.add_argument("--axe", type=Path, help="also write axe-core there, which tests use")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        made = pack(Path(scratch))
    if asked.axe:
        asked.axe.write_bytes(made["axe.js"])
    del made["axe.js"]
    if asked.check:
        differing = [name for name, content in made.items() if not is_same(name, content)]
        sys.stdout.write(f"differ: {', '.join(differing)}\n" if differing else "all the same\n")
        return 1 if differing else 0
    VENDOR.mkdir(parents=True, exist_ok=True)
    for name, content in made.items():
        (VENDOR / name).write_bytes(content)
        sys.stdout.write(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
    return 0


def pack(scratch: Path) -> dict[str, bytes]:
    """Return the files by name."""
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(WEB / name, scratch / name)
    npm = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
    subprocess.run(npm, cwd=scratch, check=True)
    modules = scratch / "node_modules"
    made = {name: (modules / source).read_bytes() for name, source in COPIES.items()}
    for name, source in MODULES.items():
        entry = scratch / f"entry-{name}"
        entry.write_text(source)
        bundle = (modules / ".bin/esbuild", entry, "--bundle", "--minify", "--format=esm", "--target=es2022")
        words = (*map(str, bundle), "--legal-comments=none")
        made[name] = subprocess.run(words, cwd=scratch, check=True, stdout=subprocess.PIPE).stdout
    made["LICENCES.txt"] = licences(modules).encode()
    return made


def licences(modules: Path) -> str:
    """Return the licences of what is packed."""
    parts = []
    for name in LICENCES:
        about = json.loads((modules / name / "package.json").read_text())
        found = sorted((modules / name).glob("LICENSE*"))
        text = found[0].read_text().strip() if found else about["license"]
        parts.append(f"{name} {about['version']} ({about['license']})\n\n{text}\n")
    return f"\n{'-' * 78}\n\n".join(parts)


def is_same(name: str, content: bytes) -> bool:
    """Whether a committed file has this content."""
    path = VENDOR / name
    return path.exists() and path.read_bytes() == content


if __name__ == "__main__":
    sys.exit(main())
