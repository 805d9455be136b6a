"""A gateway on the kernel's WireGuard with many devices, measured from within its own process.

Told how many devices and how many changes; "nftables" besides has our engine without its filter in the place
of the kernel's, whose process is not counted. Prints one JSON object. Times are those of the machine that it
runs in, which for `bench_kernel_gateway.py` is an emulated one.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import secrets
import statistics
import sys
import time
from dataclasses import dataclass, replace
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wirewright.gateway import engines, watching
from wirewright.gateway.engines import interface
from wirewright.gateway.instructions import Device, GatewayState, Instruction, PutDevice, Settings
from wirewright.gateway.policy import Policy
from wirewright.gateway.running import running
from wirewright.keys import PublicKey, SecretKey

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from wirewright.gateway.engine import GatewayEngine, Observed
    from wirewright.gateway.members import EngineChange
    from wirewright.host.engine import EngineChoice

SETTINGS = Settings(
    (ip_interface("10.88.0.1/16"), ip_interface("fd88::1/64")),
    (ip_network("10.88.0.0/16"), ip_network("fd88::/64")),
)


class Told:
    """A source that says what it is given."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Instruction] = asyncio.Queue()

    async def follow(
        self, after: int | None = None, log: str | None = None
    ) -> AsyncGenerator[Instruction | None]:
        """Say it."""
        while True:
            yield await self.queue.get()


@dataclass
class Watched:
    """An engine that tells when it has done something."""

    engine: GatewayEngine
    done: asyncio.Event

    @property
    def description(self) -> str:
        """What it is."""
        return self.engine.description

    async def apply(self, change: EngineChange) -> None:
        """Be as a change says, and tell."""
        await self.engine.apply(change)
        self.done.set()

    async def observe(self) -> Sequence[Observed]:
        """Tell of the peers."""
        return await self.engine.observe()

    async def counters(self) -> Mapping[str, int]:
        """Tell what was dropped."""
        return await self.engine.counters()

    async def close(self) -> None:
        """End."""
        await self.engine.close()


def processor_time() -> float:
    """Return the seconds of processor time of this process and of those that it started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + used.ru_utime + used.ru_stime


def resident() -> float:
    """Return the resident memory, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def device(number: int) -> Device:
    """Make a device."""
    addresses = (ip_network(0x0A580002 + number), ip_network((0xFD88 << 112) + 2 + number))
    return Device(f"device-{number}", PublicKey.from_hex(secrets.token_hex(32)), addresses)


def port(number: int) -> Policy:
    """Return a policy that no device has yet."""
    rule = {"destinations": ["0.0.0.0/0"], "protocol": "tcp", "ports": [str(number)]}
    return Policy.from_json([rule])


async def measure(count: int, changes: int, engine_name: EngineChoice) -> dict[str, Any]:
    """Have that many devices, and change some that are drawn by lot: disabled, enabled, another policy."""
    # Looks are measured by themselves.
    watching.PERIOD = 1e6  # type: ignore[misc]
    devices = [device(number) for number in range(count)]
    source, key = Told(), SecretKey.generate()
    engine = Watched(engines.system("wg0", key, engine=engine_name, tell=tell), asyncio.Event())
    before = resident()
    source.queue.put_nowait(GatewayState(0, SETTINGS, tuple(devices), "log"))
    began, used = time.monotonic(), processor_time()
    async with running(source, engine, tell=tell) as gateway:
        await gateway.ready()
        start, start_used = time.monotonic() - began, processor_time() - used
        # The first look follows at once.
        while not gateway.observed:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.1)
        looked = time.monotonic()
        assert len(await engine.observe()) == count
        look = time.monotonic() - looked
        delays, costs, revision = [], [], 0
        for number in range(changes):
            chosen = random.choice(devices)
            for told in (
                replace(chosen, enabled=False),
                chosen,
                replace(chosen, policy=port(number + 1)),
            ):
                await asyncio.sleep(0.05)
                revision += 1
                engine.done.clear()
                began, used = time.monotonic(), processor_time()
                source.queue.put_nowait(PutDevice(revision, told))
                await engine.done.wait()
                delays.append(time.monotonic() - began)
                costs.append(processor_time() - used)
        counters = gateway.counters
        assert counters["failed_changes"] == 0, counters
        memory = resident()
    return {
        "devices": count,
        "changes": len(delays),
        "start_s": round(start, 2),
        "start_processor_s": round(start_used, 2),
        "resident_before_mib": round(before, 1),
        "resident_mib": round(memory, 1),
        "look_ms": round(look * 1e3, 1),
        "median_ms": rank(delays, 50),
        "p99_ms": rank(delays, 99),
        "longest_ms": round(max(delays) * 1e3, 1),
        "processor_ms_a_change": round(statistics.mean(costs) * 1e3, 2),
        "processor_ms_median": rank(costs, 50),
    }


def rank(seconds: list[float], percent: int) -> float:
    """Return a percentile, in milliseconds."""
    return round(statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1e3, 1)


def tell(text: str) -> None:
    """Tell a person."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    count, changes, *way = sys.argv[1:]
    if way:
        interface._is_filtered = lambda _: False  # type: ignore[assignment]
    chosen: EngineChoice = "wirewright" if way else "kernel"
    print(json.dumps(asyncio.run(measure(int(count), int(changes), chosen))), flush=True)
