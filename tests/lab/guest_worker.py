"""Runs in the guest, over the shared folder: calls functions as a pipe tells it to.

Python and its imports take seconds in an emulated machine, so that one process is asked everything.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from pathlib import Path


def main(orders: str, answers: str) -> None:
    """Take orders, one a line: a module, the name of a function and its arguments, as JSON."""
    while True:
        for line in Path(orders).read_text().splitlines():
            module, name, *arguments = json.loads(line)
            try:
                answer = {"value": vars(importlib.import_module(module))[name](*arguments)}
            except Exception:
                answer = {"failure": traceback.format_exc()}
            Path(answers).write_text(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
