"""From the coordinator's API to where no packet of a device passes, whoever carries the packets.

A device sends to the shop every 5 ms, and the shop answers; both note when something came last, by the clock
that all hosts share. What is demanded is a second. A machine that does much else may miss it once: of a few
cuts one must keep it, which a gateway that is late by design does never.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.lab.embedded import Embedded
from tests.lab.gateways import ADDRESSES, GATE, SHOP, topology, until
from tests.lab.nodes import Node
from wirewright.lab import Lab, Machine

BEATS = str(Path(__file__).with_name("beats.py"))
PORT = "7100"
DEMANDED = 1.0
"""Seconds."""
ATTEMPTS = 4
PATIENCE = 40


class Beats:
    """One end of the datagrams."""

    def __init__(self, machine: Machine, *words: str) -> None:
        pipe = subprocess.PIPE
        self._process = machine.popen(sys.executable, BEATS, *words, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def seen(self) -> tuple[int, float]:
        """How many came here, and when the last one did."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        count, last = json.loads(self._process.stdout.readline())
        return count, last


class World:
    """A gateway, its coordinator, and a device whose datagrams go on for ever."""

    def __init__(self, lab: Lab, folder: Path, way: str) -> None:
        self.coordinator = Embedded(lab["gate"], folder, way)
        self.phone = Node(lab["phone"], ADDRESSES["phone"]).start()
        asked = {"name": "phone", "public_key": str(self.phone.public_key), "addresses": ADDRESSES["phone"]}
        made = self.coordinator.ask("POST", "/devices", asked)
        assert made.status == 201, made.text
        self.path = f"/devices/{made.body['id']}"
        self.connect()
        for family in ("-4", "-6"):
            lab["phone"].run("ip", family, "route", "replace", "default", "dev", "wg0")
        self.shop = Beats(lab["shop"], "serve", PORT)
        self.device = Beats(lab["phone"], "send", SHOP[4], PORT)

    def connect(self) -> None:
        """Have the device begin anew."""
        self.phone.setconf(
            f"[Peer]\nPublicKey = {self.coordinator.public_key}\nAllowedIPs = 0.0.0.0/0, ::/0\n"
            f"Endpoint = {GATE['phone']}:51820\nPersistentKeepalive = 1\n"
        )

    def restore(self) -> None:
        """Let the device in again, for ever."""
        assert self.coordinator.ask("PATCH", self.path, {"expires_at": None}).status == 200
        assert self.coordinator.ask("POST", f"{self.path}/enable").status == 200
        self.connect()

    def passes(self) -> None:
        """Wait until datagrams pass both ways."""
        ends = [(end, end.seen()[0]) for end in (self.shop, self.device)]
        until(lambda: all(end.seen()[0] > count + 5 for end, count in ends), "datagrams pass", PATIENCE)

    def last(self) -> float:
        """Wait until nothing has passed for longer than is demanded; tell when something did last."""

        def moment() -> float:
            return max(end.seen()[1] for end in (self.shop, self.device))

        until(lambda: time.monotonic() > moment() + 1.2 * DEMANDED, "nothing passes", PATIENCE)
        return moment()


@pytest.fixture(
    scope="module", params=["wirewright", "rootless", pytest.param("nftables", marks=pytest.mark.slow)]
)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Lab(topology()) as lab:
        made = World(lab, tmp_path_factory.mktemp(request.param), request.param)
        yield made
        made.coordinator.end()


def within_a_second(world: World, cut: Callable[[], float]) -> None:
    """Demand that of a few cuts, each of which tells its moment, one is obeyed within a second."""
    late = []
    for _ in range(ATTEMPTS):
        world.passes()
        moment = cut()
        late.append(world.last() - moment)
        if late[-1] < DEMANDED:
            return
        world.restore()
    pytest.fail(f"datagrams passed for these seconds after the device was cut: {late}")


def test_a_device_that_is_disabled_is_cut_within_a_second_and_comes_back(world: World) -> None:
    def cut() -> float:
        answer = world.coordinator.ask("POST", f"{world.path}/disable")
        assert answer.status == 200
        return answer.moment

    within_a_second(world, cut)
    world.restore()
    world.passes()


def test_a_device_is_cut_within_a_second_of_its_expiry_and_comes_back(world: World) -> None:
    def cut() -> float:
        end = datetime.now(UTC) + timedelta(seconds=1.5)
        moment = time.monotonic() + 1.5
        answer = world.coordinator.ask("PATCH", world.path, {"expires_at": end.isoformat()})
        assert answer.status == 200, answer.text
        return moment

    within_a_second(world, cut)
    world.restore()
    world.passes()
