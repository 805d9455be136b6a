"""What the page costs among many devices: its list, and following what devices do.

    python bench/bench_page.py [--devices 5000] [--rounds 200] [--database postgresql]

The list is asked for over HTTP from a coordinator in this process: sorted, searched and paged in turns. Then
devices report, few and many of them, and it is counted how much the hub reads and how long that takes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from ipaddress import IPv4Address
from pathlib import Path
from statistics import median, quantiles

import httpx2

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.coordinator.cluster import cluster  # noqa: E402

from wirewright.coordinator import app  # noqa: E402
from wirewright.coordinator.login import sessions  # noqa: E402
from wirewright.coordinator.login.sessions import Browser  # noqa: E402
from wirewright.coordinator.services import bootstrap, devices, reports, users  # noqa: E402
from wirewright.coordinator.services.access import SYSTEM  # noqa: E402
from wirewright.coordinator.services.devices import NewDevice  # noqa: E402
from wirewright.coordinator.services.reports import DeviceReport  # noqa: E402
from wirewright.coordinator.storage import Storage, Transaction  # noqa: E402
from wirewright.coordinator.web import Site  # noqa: E402
from wirewright.keys import SecretKey  # noqa: E402

ASKED = (
    "/devices",
    "/devices?sort=-handshake",
    "/devices?sort=address&page=40",
    "/devices?q=device+12",
    "/devices?q=10.88.3.0/24&sort=-received",
    "/devices?state=online&sort=-sent",
)


async def fill(storage: Storage, count: int) -> tuple[str, list[str]]:
    """Make devices, most of which have reported; return the gateway's identifier and theirs."""
    first = await storage.write(
        bootstrap.first_start, str(SecretKey.generate().public_key), "vpn.example.org:51820"
    )
    found: list[str] = []

    async def some(tx: Transaction, numbers: range) -> list[str]:
        made = []
        for number in numbers:
            address = IPv4Address("10.88.1.0") + number
            new = NewDevice(f"device {number}", str(SecretKey.generate().public_key), addresses=(address,))
            made.append((await devices.create(tx, SYSTEM, new)).device.id)
        return made

    for start in range(0, count, 250):
        found += await storage.write(some, range(start, min(start + 250, count)))
    await report(storage, first.gateway_id, found[: count * 4 // 5], 1)
    return first.gateway_id, found


async def report(storage: Storage, gateway: str, ids: list[str], number: int) -> None:
    """Have devices report."""
    for start in range(0, len(ids), 500):
        now = storage.clock()
        seen = [
            DeviceReport(each, number * 1000 + index, number, now - index * 200_000, "192.0.2.1:5")
            for index, each in enumerate(ids[start : start + 500])
        ]
        await storage.write(reports.record, gateway, seen)


async def measure(address: str, count: int, rounds: int) -> dict[str, object]:
    """Measure on a database."""
    storage = Storage.open(address)
    application = app.create(storage, site=Site())
    async with application.router.lifespan_context(application):
        began = time.perf_counter()
        gateway, ids = await fill(storage, count)
        filled = time.perf_counter() - began
        hub = application.state.coordinator.hub

        async def enter(tx: Transaction) -> str:
            (user,) = (await users.listed(tx, None, 1)).items
            return (await sessions.begin(tx, user, Browser("bench", "127.0.0.1")))[1].expose()

        cookie = {"Cookie": f"wirewright-session={await storage.write(enter)}"}
        transport = httpx2.ASGITransport(application)
        times: list[float] = []
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", headers=cookie
        ) as asking:
            for number in range(rounds):
                began = time.perf_counter()
                answer = await asking.get(ASKED[number % len(ASKED)])
                times.append(time.perf_counter() - began)
                assert answer.status_code == 200
                assert "device" in answer.text
        live = {}
        for changed in (1, 10, 100, 1000):
            spent = []
            for number in range(10):
                await asyncio.sleep(0.5)
                reads, before = hub.reads, time.process_time()
                await report(storage, gateway, ids[:changed], 10 + number)
                reported = time.process_time() - before
                while hub.reads == reads:  # noqa: ASYNC110 (it is another task's)
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.3)
                spent.append(time.process_time() - before - reported)
            live[changed] = round(median(spent) * 1000, 1)
    return {
        "devices": count,
        "filled_s": round(filled, 1),
        "list_median_ms": round(median(times) * 1000, 1),
        "list_p95_ms": round(quantiles(times, n=20)[-1] * 1000, 1),
        "live_processor_ms_by_changed": live,
    }


def main() -> int:
    """Measure, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    asked = parser.parse_args()
    with ExitStack() as stack:
        if asked.database == "sqlite":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            address = f"sqlite:///{folder}/page.sqlite"
        else:
            running = stack.enter_context(cluster())
            assert running is not None, "PostgreSQL is not installed: scripts/install_lab_tools.sh"
            address = stack.enter_context(running.database())
        found = asyncio.run(measure(address, asked.devices, asked.rounds))
    sys.stdout.write(f"{json.dumps({'database': asked.database, **found})}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
