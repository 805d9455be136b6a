"""The process that makes the weather of a link.

It is called with two interfaces and settings: ``python -m wirewright.lab.weather l0 r0 delay=0.025``. It ends
with its standard input, and then writes what became of the packets of each direction, as JSON.
"""

import json
import sys
from typing import Any

from wirewright._core import run_shim

KINDS: dict[str, type[int] | type[float]] = {
    "delay": float,
    "jitter": float,
    "loss": float,
    "reorder": float,
    "largest": int,
    "seed": int,
}


def main() -> None:
    """Forward frames between two interfaces."""
    left, right, *settings = sys.argv[1:]
    values: dict[str, Any] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        values[name] = KINDS[name](value)
    counted = run_shim(left, right, stop=0, ready=lambda: print("ready", flush=True), **values)  # noqa: T201
    json.dump(counted, sys.stdout)


if __name__ == "__main__":
    main()
