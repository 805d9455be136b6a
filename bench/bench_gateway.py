"""A change of a device: from the coordinator's answer to where the gateway's engine has it, among many.

A coordinator with its gateway in the same process, and one whose gateway is another process that follows it
over HTTP; the gateway is rootless, or on a system interface with our engine, whose filter or nftables keeps
devices apart. System interfaces take root: all then runs in a host of a lab. Prints one JSON object a
measurement. With --postgresql a cluster of its own, as the tests have it, takes the place of SQLite.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_network
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.coordinator.cluster import REMEDY, cluster  # noqa: E402 (the tests are no package that is installed)

from wirewright.coordinator.services import bootstrap, devices, gateways, pools  # noqa: E402
from wirewright.coordinator.services.access import SYSTEM  # noqa: E402
from wirewright.coordinator.storage import Storage, Transaction  # noqa: E402
from wirewright.gateway.key import read_or_make_key  # noqa: E402
from wirewright.keys import SecretKey  # noqa: E402
from wirewright.lab import Host, Lab, Topology  # noqa: E402

DRIVER = Path(__file__).resolve().with_name("gateway_driver.py")
POOLS = ("10.88.0.0/16", "fd88::/64")
AT_ONCE = 250
"""Devices that are made in one transaction."""
WAYS = ("wirewright", "rootless", "nftables")


@dataclass(frozen=True)
class World:
    """A database with devices, and what one must know to use it."""

    address: str
    folder: Path
    facts: dict[str, Any]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--devices", type=int, action="append", help="how many; 100, 1000 and 5000 unless given"
    )
    parser.add_argument("--changes", type=int, default=300)
    parser.add_argument("--engine", choices=WAYS, action="append")
    parser.add_argument("--postgresql", action="store_true", help="in the place of SQLite")
    options = parser.parse_args()
    is_root = os.geteuid() == 0
    if not is_root:
        sys.stderr.write("system interfaces take root: rootless gateways only\n")
    ways = [way for way in options.engine or WAYS if is_root or way == "rootless"]
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ww-gateway-", dir="/tmp")))
        server = None
        if options.postgresql:
            server = stack.enter_context(cluster())
            if server is None:
                sys.exit(f"PostgreSQL is not installed: {REMEDY}")
        lab = None
        if is_root:
            lab = stack.enter_context(Lab(Topology((), (Host("gate"),))))
            lab["gate"].run("ip", "link", "set", "lo", "up")
        for count in options.devices or (100, 1000, 5000):
            folder = base / str(count)
            folder.mkdir()
            address = f"sqlite:///{folder}/coordinator.sqlite"
            if server is not None:
                address = stack.enter_context(server.database())
            world = asyncio.run(prepared(address, folder, count))
            credential = folder / "gateway.credential"
            credential.touch(mode=0o600)
            credential.write_text(world.facts.pop("credential"))
            for number, (way, apart) in enumerate(product(ways, (False, True))):
                # A policy that a device has already is no change.
                task = {"way": way, "apart": apart, "first_port": 1 + number * options.changes}
                run(lab, world, task | {"changes": options.changes})


def run(lab: Lab | None, world: World, task: dict[str, Any]) -> None:
    """Measure one gateway, in the lab's host if there is one."""
    (world.folder / "gateway.state").unlink(missing_ok=True)
    file = world.folder / "task.json"
    file.write_text(json.dumps({"database": world.address, "folder": str(world.folder)} | world.facts | task))
    words = [sys.executable, str(DRIVER), str(file)]
    process = lab["gate"].popen(*words) if lab else subprocess.Popen(words)
    if process.wait() != 0:
        raise SystemExit(f"{task} failed")


async def prepared(address: str, folder: Path, count: int) -> World:
    """Make a database with a gateway and its devices."""
    key = read_or_make_key(folder / "gateway.key")
    storage = Storage.open(address)
    await storage.migrate()
    await storage.write(bootstrap.prepare)

    async def settle(tx: Transaction) -> dict[str, Any]:
        token = await bootstrap.first_admin(tx)
        new = gateways.NewGateway("office", "vpn.example:51820", str(key.public_key))
        gateway, credential = await gateways.create(tx, SYSTEM, new)
        for pool in POOLS:
            await pools.create(tx, SYSTEM, pools.NewPool(gateway.id, str(ip_network(pool))))
        assert token is not None
        assert credential is not None
        return {"token": token.expose(), "gateway": gateway.id, "credential": credential.expose()}

    async def add(tx: Transaction, first: int, end: int) -> list[str]:
        made = []
        for number in range(first, end):
            new = devices.NewDevice(f"device {number}", str(SecretKey.generate().public_key))
            made.append((await devices.create(tx, SYSTEM, new)).device.id)
        return made

    facts = await storage.write(settle)
    ids: list[str] = []
    for first in range(0, count, AT_ONCE):
        ids += await storage.write(add, first, min(first + AT_ONCE, count))
    await storage.close()
    return World(address, folder, facts | {"devices": count, "ids": ids})


if __name__ == "__main__":
    main()
