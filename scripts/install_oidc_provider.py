"""Put the provider of identities that tests log in at (npm's oidc-provider) into .cache.

Its packages are those that scripts/oidc/package-lock.json names by their hashes; none of their scripts is
run. What cannot be had is said; under CI=true it is an error, elsewhere the tests that need it are skipped.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
CACHE: Final = ROOT / ".cache"
PACKAGES: Final = ROOT / "scripts/oidc"


def main() -> int:
    """Install unless these very packages lie there already."""
    target = folder()
    problem = None
    if not target.exists():
        try:
            install(target)
        except (OSError, subprocess.SubprocessError) as error:
            problem = str(error)
    if problem is None:
        return 0
    must = os.environ.get("CI") == "true"
    consequence = "an error, because CI=true" if must else "the tests that need it will be skipped"
    sys.stderr.write(f"oidc-provider is not installed ({consequence}): {problem}\n")
    return 1 if must else 0


def folder() -> Path:
    """Return where the packages of this lock lie, or will."""
    digest = hashlib.sha256((PACKAGES / "package-lock.json").read_bytes()).hexdigest()
    return CACHE / f"oidc-provider-{digest[:12]}"


def install(target: Path) -> None:
    """Have npm put the packages of the lock into ``target``."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise FileNotFoundError("there is no Node.js with npm: apt-get install nodejs npm")
    new = target.with_name(f"{target.name}.{os.getpid()}")
    new.mkdir(parents=True)
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(PACKAGES / name, new / name)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=new, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise subprocess.SubprocessError(f"npm ci: {done.stderr.strip()[-400:]}")
        new.replace(target)
    finally:
        shutil.rmtree(new, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
