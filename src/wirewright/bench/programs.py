"""Where the programs of the contestants are, and of which version."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
"""The root of the sources, if this package lies in a checkout."""


@dataclass(frozen=True)
class Program:
    """A program that may be installed."""

    name: str
    remedy: str
    """How to get it."""
    built_in: str = ".cache/bin"
    """Where in a checkout it is, if it is not in PATH."""

    def find(self) -> Path | None:
        """Return where it is."""
        beside_us = Path(sys.executable).with_name(self.name)
        in_checkout = CHECKOUT / self.built_in / self.name
        candidates = [beside_us, *([in_checkout] if _is_checkout() else [])]
        if found := next((path for path in candidates if path.is_file()), None):
            return found
        in_path = shutil.which(self.name)
        return Path(in_path) if in_path else None

    def why_absent(self) -> str | None:
        """Say what to do to have it, or nothing if it is there."""
        return None if self.find() else f"{self.name} is not installed: {self.remedy}"

    def version(self) -> str:
        """Return what it says of itself, or what its builder wrote into it."""
        path = self.find()
        if path is None:
            return ""
        # The version that wireguard-go tells is older than its source.
        if built := re.search(rb"\nmod\tgolang\.zx2c4\.com/wireguard\t(\S+)\t", path.read_bytes()):
            return built[1].decode()
        return said(str(path), "--version").partition("\n")[0].removeprefix(f"{self.name} ")


def said(*command: str, cwd: Path | None = None) -> str:
    """Return what a command writes, or nothing if it cannot be run."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def commit() -> str:
    """Return the commit of the checkout, or nothing."""
    return said("git", "describe", "--always", "--dirty", cwd=CHECKOUT) if _is_checkout() else ""


def _is_checkout() -> bool:
    return (CHECKOUT / "bench" / "examples" / "bare_loop.rs").is_file()
