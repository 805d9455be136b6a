"""Every gate that `make lint` holds: each prints its name, all run, one failure fails.

`python scripts/lint.py clippy mypy` runs only the gates named.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
TOOLS = Path(PYTHON).parent

# Checking and building share only build scripts, which PyO3 would redo at each turn from one to the other.
LINT_TARGET = ROOT / "target" / "lint"

GATES: dict[str, list[str]] = {
    "rustfmt": ["cargo", "fmt", "--all", "--check"],
    "rustfmt fuzz": ["cargo", "fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"],
    "clippy": [
        *("cargo", "clippy", "--quiet", "--locked", "--workspace", "--all-targets"),
        *("--target-dir", str(LINT_TARGET), "--", "--deny", "warnings"),
    ],
    "fuzz lock": ["cargo", "fetch", "--quiet", "--locked", "--manifest-path", "fuzz/Cargo.toml"],
    "ruff check": [str(TOOLS / "ruff"), "check", "--quiet"],
    "ruff format": [str(TOOLS / "ruff"), "format", "--check", "--quiet"],
    "mypy": [PYTHON, "-m", "mypy", "--no-error-summary"],
    "stubtest": [PYTHON, "-m", "mypy.stubtest", "--concise", "wirewright._core"],
    "lint-imports": [str(TOOLS / "lint-imports")],
    "crate layers": [PYTHON, "scripts/check_layers.py"],
    "file sizes": [PYTHON, "scripts/check_sizes.py"],
}


def main(names: list[str]) -> int:
    """Run the gates called `names`, or all."""
    unknown = [name for name in names if name not in GATES]
    if unknown:
        sys.stderr.write(f"no gate is called {', '.join(unknown)}; there are: {', '.join(GATES)}\n")
        return 2
    failed = [name for name in names or GATES if not passes(name)]
    if failed:
        sys.stdout.write(f"lint: {len(failed)} of {len(names or GATES)} gates failed: {', '.join(failed)}\n")
        return 1
    sys.stdout.write(f"lint: {len(names or GATES)} gates passed\n")
    return 0


def passes(name: str) -> bool:
    """Run one gate; show what it said only if it failed."""
    sys.stdout.write(f"{name:<14}")
    sys.stdout.flush()
    began = time.monotonic()
    try:
        outcome = subprocess.run(
            GATES[name], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        good, said = outcome.returncode == 0, outcome.stdout
    except FileNotFoundError as problem:
        good, said = False, f"{problem}\n"
    sys.stdout.write(f"{'ok' if good else 'FAILED':<7} {time.monotonic() - began:6.1f} s\n")
    if not good:
        sys.stdout.write(f"$ {' '.join(GATES[name])}\n{said}\n")
    return good


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
