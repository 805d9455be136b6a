"""Runs in the guest, over the shared folder: calls functions of a module as a pipe tells it to.

Python and its imports take seconds in an emulated machine, so that one process is asked everything.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from pathlib import Path


def main(module: str, orders: str, answers: str) -> None:
    """Take orders, one a line: the name of a function and its arguments, as JSON."""
    functions = vars(importlib.import_module(module))
    while True:
        for line in Path(orders).read_text().splitlines():
            name, *arguments = json.loads(line)
            try:
                answer = {"value": functions[name](*arguments)}
            except Exception:
                answer = {"failure": traceback.format_exc()}
            Path(answers).write_text(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
