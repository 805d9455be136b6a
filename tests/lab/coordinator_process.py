"""Runs in a host of a lab: a coordinator on the loopback, which does what each line of its input says.

It is told the address of its database. It says its URL and the credential of its gateway, then an answer
to each line: ``add NAME KEY`` (the device's id), ``disable ID``, ``seen ID`` (bytes that its gateway had from
it).
"""

from __future__ import annotations

import asyncio
import sys

from tests.coordinator.actors import Actors
from tests.coordinator.served import served
from wirewright.coordinator import app
from wirewright.coordinator.context import Coordinator
from wirewright.coordinator.services import devices
from wirewright.coordinator.services.access import SYSTEM
from wirewright.coordinator.services.devices import DeviceChange, NewDevice
from wirewright.coordinator.storage import Storage


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def answer(storage: Storage, word: str, *words: str) -> object:
    match word:
        case "add":
            name, key = words
            return (await storage.write(devices.create, SYSTEM, NewDevice(name, key))).device.id
        case "disable":
            return (
                await storage.write(devices.update, SYSTEM, words[0], DeviceChange(enabled=False))
            ).device.id
        case _:
            report = (await storage.read(devices.get, SYSTEM, words[0])).report
            return report.received if report else 0


async def main(address: str) -> None:
    storage = Storage.open(address)
    async with app.running(Coordinator(storage)):
        actors = await Actors.settle(storage)
        async with served(storage) as url:
            say(url.removesuffix("/api/v1"))
            say(actors.credential)
            while line := await asyncio.to_thread(sys.stdin.readline):
                say(await answer(storage, *line.split()))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
