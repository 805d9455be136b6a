"""Runs in a host of a lab: a gateway that is told on its standard input what to be.

Each line there is the name of an instruction and its JSON. It says its public key, then ``ready``, and each
revision that the engine has; on the standard error, what a person would be told.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wirewright.gateway import engines, watching
from wirewright.gateway.engines import interface
from wirewright.gateway.firewall import changes
from wirewright.gateway.instructions import Instruction, instruction_from_json
from wirewright.gateway.key import read_or_make_key
from wirewright.gateway.running import running

if TYPE_CHECKING:
    from wirewright.gateway.engine import GatewayEngine
    from wirewright.keys import SecretKey


class Lines:
    """A source that is the standard input; when that ends, the coordinator is away for good."""

    def __init__(self) -> None:
        self._reader = asyncio.StreamReader(1 << 24)

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self._reader), sys.stdin)

    async def follow(
        self, after: int | None = None, log: str | None = None
    ) -> AsyncGenerator[Instruction | None]:
        while line := await self._reader.readline():
            yield instruction_from_json(*json.loads(line))
        await asyncio.Event().wait()


def tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def engine(options: dict[str, Any], key: SecretKey) -> GatewayEngine:
    if options["way"] == "rootless":
        return engines.rootless(key)
    more = dict(options.get("more", {}))
    for name in {"pools", "reach"} & more.keys():
        more[name] = [ip_network(text) for text in more[name]]
    for name in {"MOST_FLOWS", "MOST_COUNTED"} & more.keys():
        setattr(changes, name, more.pop(name))
    if options["way"] == "kernel":
        return engines.system("wg0", key, engine="kernel", tell=tell, **more)
    if options["way"] == "nftables":
        # As behind the kernel's WireGuard, which judges nothing itself.
        interface._is_filtered = lambda _: False  # type: ignore[assignment]
    return engines.system("wg0", key, engine="wirewright", tell=tell, **more)


async def main(options: dict[str, Any]) -> None:
    folder = Path(options["folder"])
    watching.PERIOD = 0.2  # type: ignore[misc]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    key = read_or_make_key(folder / "key")
    say(key.public_key)
    source = Lines()
    await source.open()
    async with running(source, engine(options, key), state_file=folder / "state", tell=tell) as gateway:
        await gateway.ready()
        say("ready")
        told = None
        while not stop.is_set():
            if gateway.applied != told:
                told = gateway.applied
                say(told)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.02)


if __name__ == "__main__":
    try:
        asyncio.run(main(json.loads(sys.argv[1])))
    except OSError as error:
        tell(str(error))
        sys.exit(1)
