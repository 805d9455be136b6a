"""The processes of the benchmark of gateways: a coordinator, perhaps with a gateway, and one elsewhere.

Each is told a JSON object as its argument and says JSON objects, one a line: that it is ready, each change
that its engine has, and each look at its peers, with the moment by the monotonic clock of all processes.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wirewright.gateway import engines
from wirewright.gateway.engines import interface
from wirewright.gateway.key import read_or_make_key
from wirewright.gateway.running import running

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wirewright.gateway.engine import GatewayEngine, Observed
    from wirewright.gateway.members import EngineChange
    from wirewright.keys import SecretKey


class Told:
    """An engine that says what it has done."""

    def __init__(self, engine: GatewayEngine) -> None:
        """Take the engine that does it."""
        self._engine = engine

    @property
    def description(self) -> str:
        """What it is."""
        return self._engine.description

    async def apply(self, change: EngineChange) -> None:
        """Be as a change says, and say so."""
        await self._engine.apply(change)
        say("whole" if change.whole else "applied")

    async def observe(self) -> Sequence[Observed]:
        """Tell of the peers, and say that it was asked."""
        began = time.monotonic()
        seen = await self._engine.observe()
        say("observed", seconds=time.monotonic() - began)
        return seen

    async def counters(self) -> Mapping[str, int]:
        """Tell what was dropped."""
        return await self._engine.counters()

    async def close(self) -> None:
        """End."""
        await self._engine.close()


def say(what: str, **more: object) -> None:
    """Tell the benchmark."""
    print(json.dumps({"what": what, "at": time.monotonic(), **more}), flush=True)


def tell(text: str) -> None:
    """Tell a person."""
    sys.stderr.write(f"{text}\n")


def made(way: str, key: SecretKey) -> Told:
    """Return an engine of a kind."""
    if way == "rootless":
        return Told(engines.rootless(key, listen_port=0, listen_address="127.0.0.1"))
    if way == "nftables":
        # As behind the kernel's WireGuard, which judges nothing itself.
        interface._is_filtered = lambda _: False  # type: ignore[assignment]
    return Told(engines.system("wg0", key, engine="wirewright", tell=tell))


async def serve(task: dict[str, Any], stack: AsyncExitStack) -> None:
    """Be a coordinator; with a `way` there is a gateway in it."""
    from wirewright.coordinator import app  # noqa: PLC0415 (a gateway elsewhere does without)
    from wirewright.coordinator.services import reports  # noqa: PLC0415
    from wirewright.coordinator.services.changes import StoredSource  # noqa: PLC0415
    from wirewright.coordinator.serving import Listening, serving  # noqa: PLC0415
    from wirewright.coordinator.storage import Storage  # noqa: PLC0415

    storage = Storage.open(task["database"])
    served = await stack.enter_async_context(serving(app.create(storage), Listening(port=0)))
    if task["way"] is not None:
        gateway_id = task["gateway"]

        async def report(devices: Sequence[Any]) -> None:
            found = [
                reports.DeviceReport(
                    each.device_id, each.received, each.sent, each.latest_handshake, each.endpoint
                )
                for each in devices
            ]
            await storage.write(reports.record, gateway_id, found)

        engine = made(task["way"], read_or_make_key(Path(task["folder"]) / "gateway.key"))
        source = StoredSource(storage, gateway_id)
        gateway = await stack.enter_async_context(running(source, engine, report=report, tell=tell))
        await gateway.ready()
    say("ready", url=served.url)


async def gateway(task: dict[str, Any], stack: AsyncExitStack) -> None:
    """Be a gateway elsewhere."""
    from wirewright.gateway.http_source import HttpSource  # noqa: PLC0415 (one in the coordinator does without)

    folder = Path(task["folder"])
    key = read_or_make_key(folder / "gateway.key")
    source = HttpSource(task["url"], folder / "gateway.credential", key.public_key)
    run = running(
        source, made(task["way"], key), state_file=folder / "gateway.state", report=source.report, tell=tell
    )
    opened = await stack.enter_async_context(run)
    await opened.ready()
    say("ready")


async def main(role: str, task: dict[str, Any]) -> None:
    """Play a role until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with AsyncExitStack() as stack:
        await {"serve": serve, "gateway": gateway}[role](task, stack)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
