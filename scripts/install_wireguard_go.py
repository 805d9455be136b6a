"""Put the wireguard-go that the interoperation tests talk to into .cache/bin.

It is built from the Go module proxy at a pinned version; Go's checksum database vouches for the source. Where
Go is absent or too old, its toolchain comes from the same proxy, against the digests below. What cannot be
had is said; under CI=true it is an error, elsewhere the tests that need it are skipped.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / ".cache"
MODULE = "golang.zx2c4.com/wireguard"
VERSION = "v0.0.0-20260522210424-ecfc5a8d5446"
OLDEST_GO = (1, 23, 1)  # the `go` line of that version's go.mod

GO_VERSION = "1.26.8"
GO_DIGESTS = {
    "amd64": "30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7",
    "arm64": "02b36b6787b3ac767668f630e2998df45a3b1f9ffee08d1bf3ef6487cd658d99",
}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class UnavailableError(Exception):
    """Something that the set-up needs cannot be had; the message says what and how to help."""


def main() -> int:
    """Install unless this very version lies there already."""
    built = CACHE / f"wireguard-go-{VERSION}" / "wireguard-go"
    link = CACHE / "bin" / "wireguard-go"
    try:
        if not built.exists():
            build(built)
    except UnavailableError as problem:
        must = os.environ.get("CI") == "true"
        consequence = "an error, because CI=true" if must else "the tests that need it will be skipped"
        sys.stderr.write(f"wireguard-go is not installed ({consequence}): {problem}\n")
        return 1 if must else 0
    link.parent.mkdir(parents=True, exist_ok=True)
    if not (link.is_symlink() and link.resolve() == built.resolve()):
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(built, link.parent))
    return 0


def build(target: Path) -> None:
    """Compile wireguard-go to `target`."""
    go = go_command()
    sys.stderr.write(f"building wireguard-go {VERSION} with {go}\n")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        environment = {**os.environ, "GOBIN": scratch, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
        outcome = subprocess.run(
            [go, "install", f"{MODULE}@{VERSION}"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if outcome.returncode != 0:
            raise UnavailableError(f"`go install {MODULE}@{VERSION}` failed:\n{outcome.stderr.strip()}")
        (Path(scratch) / "wireguard").rename(target)


def go_command() -> str:
    """Return a Go that is new enough: the machine's own, or a toolchain from the proxy."""
    present = shutil.which("go")
    if present is not None:
        said = subprocess.run([present, "version"], capture_output=True, text=True, check=False).stdout
        found = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", said)
        if found and tuple(int(part or 0) for part in found.groups()) >= OLDEST_GO:
            return present
    return str(fetch_go())


def fetch_go() -> Path:
    """Download the Go toolchain into the cache, check its digest, and return its `go` command."""
    machine = platform.machine()
    architecture = ARCHITECTURES.get(machine)
    if sys.platform != "linux" or architecture is None:
        needed = ".".join(map(str, OLDEST_GO))
        raise UnavailableError(
            f"no Go >= {needed} on PATH and none known for {sys.platform} on {machine}; install Go"
        )
    home = CACHE / f"go-{GO_VERSION}"
    release = f"v0.0.1-go{GO_VERSION}.linux-{architecture}"
    go = home / f"golang.org/toolchain@{release}" / "bin" / "go"
    if go.exists():
        return go
    address = f"https://proxy.golang.org/golang.org/toolchain/@v/{release}.zip"
    sys.stderr.write(f"downloading {address}\n")
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        archive = Path(scratch) / "go.zip"
        try:
            with urllib.request.urlopen(address, timeout=300) as response, archive.open("wb") as file:
                shutil.copyfileobj(response, file)
        except OSError as problem:
            raise UnavailableError(
                f"no recent Go on PATH, and {address} does not answer: {problem}"
            ) from problem
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != GO_DIGESTS[architecture]:
            raise UnavailableError(f"{address} has SHA-256 {digest}, expected {GO_DIGESTS[architecture]}")
        unpacked = Path(scratch) / "go"
        with zipfile.ZipFile(archive) as contents:
            contents.extractall(unpacked)
        for program in (*unpacked.glob("golang.org/*/bin/*"), *unpacked.glob("golang.org/*/pkg/tool/*/*")):
            program.chmod(0o755)
        unpacked.rename(home)
    return go


if __name__ == "__main__":
    sys.exit(main())
