"""What runs in a helper process: calls are lines of JSON on standard input, answers on standard output.

A test drives two such processes (see `remote`): `rootless`, which has no capability and holds the tunnel
under test, and `inside`, which lives in the network namespace behind wireguard-go. A call is
``{"id": 1, "call": "ping", "arguments": {...}}``; its answer has the same id, and a ``result`` or an
``error``. Calls run side by side. The process ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Call = Callable[..., Awaitable[Any]]


async def serve(calls: Mapping[str, Call], hello: Mapping[str, Any]) -> None:
    """Say `hello`, then answer calls until standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say({"hello": hello})
    running: set[asyncio.Task[None]] = set()
    while line := await reader.readline():
        task = asyncio.create_task(answer(calls, json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def answer(calls: Mapping[str, Call], request: Mapping[str, Any]) -> None:
    """Make one call and tell what became of it."""
    try:
        result = await calls[request["call"]](**request["arguments"])
    except Exception as error:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        say({"id": request["id"], "error": {"kinds": kinds, "message": str(error)}})
    else:
        say({"id": request["id"], "result": result})


def say(message: Mapping[str, Any]) -> None:
    """Write one line; whoever reads it reads at once, so this does not wait for long."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
