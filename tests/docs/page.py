"""Runs the Python blocks of a page one behind the other, as cells of a notebook: `page.py FILE`.

Blocks share their names and may await at the top level, all in one event loop. A block that does not await
runs outside of any loop, so that it may start its own.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import sys
import time
import types
from pathlib import Path

from tests.house.text import code_blocks


def main(page: Path) -> None:
    module = types.ModuleType("__main__")
    with asyncio.Runner() as runner:
        for number, block in enumerate(code_blocks(page, "python"), 1):
            name = f"{page.name}, Python block {number}"
            code = compile(block, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            if code.co_flags & inspect.CO_COROUTINE:
                runner.run(_awaited(code, module.__dict__))
            else:
                exec(code, module.__dict__)
            sys.stdout.write(f"ran {name}\n")
            # A responder takes one initiation of a peer in 20 ms, and a timestamp counts once in 17 ms: who
            # opens a tunnel anew faster than that is answered 5 s later.
            time.sleep(0.1)


async def _awaited(code: types.CodeType, names: dict[str, object]) -> None:
    await eval(code, names)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
