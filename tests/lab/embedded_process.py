"""Runs in a host of a lab: a coordinator on the loopback with its gateway in the same process.

It is told the way of the gateway's engine, ``none`` for no gateway, and the folder of the database. It says
the gateway's public key, and then asks its own API as each line of its input says: ``[method, path, body]``,
answered by ``[status, type, body, moment]``; the moment is when the answer was there, by the monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2

from tests.lab.gateway_process import engine, tell
from wirewright.coordinator import app
from wirewright.coordinator.services import bootstrap
from wirewright.coordinator.services.changes import StoredSource
from wirewright.coordinator.serving import Listening, serving
from wirewright.coordinator.storage import Storage
from wirewright.gateway.key import read_or_make_key
from wirewright.gateway.running import running

if TYPE_CHECKING:
    from wirewright.keys import SecretKey


def say(what: object) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


async def started(folder: Path, key: SecretKey) -> tuple[Storage, str, str]:
    """Open the database; give the gateway's id and a token, which is kept for a later start."""
    storage = Storage.open(f"sqlite:///{folder / 'coordinator.sqlite'}")
    await storage.migrate()
    await storage.write(bootstrap.prepare)
    networks = ("10.88.0.0/16", "fd88::/64")
    first = await storage.write(
        bootstrap.first_start, str(key.public_key), "vpn.example:51820", wanted=networks
    )
    file = folder / "token"
    if first.token is not None:
        file.write_text(first.token.expose())
    return storage, first.gateway_id, file.read_text()


async def main(way: str, folder: Path) -> None:
    key = read_or_make_key(folder / "key")
    storage, gateway_id, token = await started(folder, key)
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(serving(app.create(storage), Listening(port=0)))
        if way != "none":
            source = StoredSource(storage, gateway_id)
            gateway = running(source, engine({"way": way}, key), tell=tell)
            await (await stack.enter_async_context(gateway)).ready()
        client = httpx2.AsyncClient(
            base_url=f"{served.url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=60
        )
        await stack.enter_async_context(client)
        say(str(key.public_key))
        while line := await asyncio.to_thread(sys.stdin.readline):
            method, path, body = json.loads(line)
            answer = await client.request(method, path, json=body)
            moment = time.monotonic()
            say([answer.status_code, answer.headers.get("content-type", ""), answer.text, moment])


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
