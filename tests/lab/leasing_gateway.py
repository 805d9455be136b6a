"""A coordinator on SQLite, and a gateway that serves leases which it keeps, over its API: one process.

``leasing_gateway.py DIRECTORY LEASE_SECONDS PUBLIC_KEY...`` makes devices of the keys, which are to ask for
their addresses themselves, and writes the gateway's public key once it serves. It ends by a signal.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2

from wirewright.coordinator import app
from wirewright.coordinator.errors import ConflictError
from wirewright.coordinator.services import devices, gateways, pools
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.services.changes import StoredSource
from wirewright.coordinator.services.devices import NewDevice
from wirewright.coordinator.serving import Listening, serving
from wirewright.coordinator.storage import Storage
from wirewright.dynamic import Settings, Terms
from wirewright.dynamic.clocks import SystemClock
from wirewright.gateway import engines
from wirewright.gateway.key import read_or_make_key
from wirewright.gateway.lease_store import ApiLedger, LedgerStore
from wirewright.gateway.leasing import Leases
from wirewright.gateway.running import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POOLS = ("10.88.0.0/24", "fd88::/120")


def tell(text: str) -> None:
    print(text, flush=True)  # noqa: T201


async def main(directory: str, seconds: str, *keys: str) -> None:
    state = Path(directory)
    key = read_or_make_key(state / "gateway.key")
    storage = Storage.open(f"sqlite:///{state}/coordinator.sqlite")
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(serving(app.create(storage), Listening("127.0.0.1", 0)))
        credential_file = state / "credential"
        if not credential_file.exists():
            new = gateways.NewGateway("office", "192.0.2.1:51820", str(key.public_key))
            gateway, secret = await storage.write(gateways.create, SYSTEM, new)
            assert secret is not None
            for network in POOLS:
                await storage.write(pools.create, SYSTEM, pools.NewPool(gateway.id, network))
            credential_file.write_text(secret.expose())
        gateway = await storage.read(gateways.authenticate, credential_file.read_text())
        for each in keys:
            try:
                made = NewDevice("a device", each, gateway.id, on_lease=True)
                await storage.write(devices.create, SYSTEM, made)
            except ConflictError:
                pass

        @asynccontextmanager
        async def client() -> AsyncIterator[httpx2.AsyncClient]:
            headers = {"Authorization": f"Bearer {credential_file.read_text()}"}
            async with httpx2.AsyncClient(base_url=served.url, headers=headers) as made:
                yield made

        clock = SystemClock()
        store = LedgerStore(ApiLedger(client, clock.wall))
        leases = Leases(store, Settings(Terms(lease_time=int(seconds)), registration=True), tell, clock)
        engine = engines.system("wg0", key, masquerade=False, tell=tell)
        source = StoredSource(storage, gateway.id)
        running_gateway = await stack.enter_async_context(
            running(source, engine, tell=tell, services=[leases], identities=True)
        )
        await running_gateway.ready()
        while leases.server is None:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.05)
        ending = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
        tell(f"serving as {key.public_key}")
        await ending.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
