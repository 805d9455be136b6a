"""Put boringtun and gotatun, which the tests in the lab talk to and benchmarks run beside, into .cache/bin.

They are built from crates.io at pinned versions, with the dependencies that their authors locked, and as they
release them, since benchmarks compare with the same programs. What cannot be had is said; under CI=true
it is an error, elsewhere the tests that need it are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / ".cache"


@dataclass(frozen=True)
class Peer:
    """A crate, and the program that it installs."""

    crate: str
    version: str
    program: str

    @property
    def built(self) -> Path:
        """Where this very version lies."""
        return CACHE / f"{self.crate}-{self.version}" / self.program


PEERS = (
    Peer("boringtun-cli", "0.7.1", "boringtun-cli"),
    Peer("gotatun-cli", "0.10.2", "gotatun"),
)


class UnavailableError(Exception):
    """A peer cannot be had; the message says why."""


def main() -> int:
    """Install what does not lie there already, each by itself."""
    must = os.environ.get("CI") == "true"
    consequence = "an error, because CI=true" if must else "the tests that need it will be skipped"
    absent = 0
    CACHE.mkdir(exist_ok=True)
    # The two have many dependencies in common, and share what is compiled.
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        for peer in PEERS:
            try:
                if not peer.built.exists():
                    build(peer, Path(scratch))
            except UnavailableError as problem:
                sys.stderr.write(f"{peer.program} is not installed ({consequence}): {problem}\n")
                absent += 1
            else:
                link(peer)
    return 1 if absent and must else 0


def build(peer: Peer, scratch: Path) -> None:
    """Compile a peer to where it belongs."""
    cargo = shutil.which("cargo")
    if cargo is None:
        raise UnavailableError("cargo is missing; install Rust 1.91 or newer (https://rustup.rs)")
    sys.stderr.write(f"building {peer.crate} {peer.version}\n")
    wanted = f"{peer.crate}@{peer.version}"
    # The settings of this project's own builds are not theirs.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CARGO_PROFILE_")}
    environment.pop("RUSTFLAGS", None)
    outcome = subprocess.run(
        [cargo, "install", "--quiet", "--locked", "--no-track", "--root", scratch, wanted],
        cwd=scratch,
        env={**environment, "CARGO_TARGET_DIR": str(scratch / "target")},
        capture_output=True,
        text=True,
        check=False,
    )
    if outcome.returncode != 0:
        raise UnavailableError(f"`cargo install --locked {wanted}` failed:\n{outcome.stderr.strip()}")
    peer.built.parent.mkdir(parents=True, exist_ok=True)
    (scratch / "bin" / peer.program).rename(peer.built)


def link(peer: Peer) -> None:
    """Let the program's name in .cache/bin stand for this version."""
    name = CACHE / "bin" / peer.program
    name.parent.mkdir(parents=True, exist_ok=True)
    if not (name.is_symlink() and name.resolve() == peer.built.resolve()):
        name.unlink(missing_ok=True)
        name.symlink_to(os.path.relpath(peer.built, name.parent))


if __name__ == "__main__":
    sys.exit(main())
