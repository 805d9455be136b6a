"""Runs in a host of a lab: a coordinator on port 8080, whose devices ask for addresses.

``leasing_coordinator.py DIRECTORY PUBLIC_KEY...``: the database and the credential of its gateway are in the
directory, and stay there. The environment may name another database (``DATABASE``), and another address to
listen on than the loopback (``LISTEN``).
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

from wirewright.coordinator import app
from wirewright.coordinator.errors import ConflictError
from wirewright.coordinator.services import devices, gateways, pools
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.services.devices import NewDevice
from wirewright.coordinator.serving import Listening, serving
from wirewright.coordinator.storage import Storage

POOLS = ("10.88.0.0/24", "fd88::/120")


def known(credential: Path) -> str | None:
    return credential.read_text() if credential.exists() else None


def keep(credential: Path, text: str) -> None:
    credential.touch(mode=0o600)
    credential.write_text(text)


async def prepare(storage: Storage, credential: Path, *keys: str) -> None:
    """Make a gateway and its devices, if they are not there."""
    text = known(credential)
    if text is None:
        new = gateways.NewGateway("office", "192.0.2.1:51820")
        gateway, secret = await storage.write(gateways.create, SYSTEM, new)
        assert secret is not None
        for network in POOLS:
            await storage.write(pools.create, SYSTEM, pools.NewPool(gateway.id, network))
        text = secret.expose()
        keep(credential, text)
    gateway = await storage.read(gateways.authenticate, text)
    for key in keys:
        with suppress(ConflictError):
            new_device = NewDevice("a device", key, gateway.id, on_lease=True)
            await storage.write(devices.create, SYSTEM, new_device)


async def main(directory: str, *keys: str) -> None:
    storage = Storage.open(os.environ.get("DATABASE", f"sqlite:///{directory}/coordinator.sqlite"))
    address = os.environ.get("LISTEN", "127.0.0.1")
    # As if a proxy were in front: the lab's machines may listen to each other.
    listening = Listening(address, 8080, behind_proxy=(address,))
    async with serving(app.create(storage), listening) as served:
        await prepare(storage, Path(directory, "gateway.credential"), *keys)
        sys.stdout.write(f"a coordinator at {served.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
