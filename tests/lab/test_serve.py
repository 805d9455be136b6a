"""`ww serve` as root: a coordinator whose gateway is an interface of the host, and its devices."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab.gateways import GATE, SHOP, is_clear, process_of, topology, until
from tests.lab.nodes import Node
from wirewright.lab import Lab, Machine

WW = (sys.executable, "-m", "wirewright")
PATIENCE = 40


class Served:
    """The command, as a service manager runs it, and the commands that ask it."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine, self._folder = machine, folder
        self._state = {"WIREWRIGHT_STATE": str(folder / "state")}

    def start(self) -> None:
        notify = self._folder / "notify"
        notify.unlink(missing_ok=True)
        words = ("--engine", "wirewright", "--interface", "wg0", "--endpoint", f"{GATE['phone']}:51820")
        pools = ("--pool", "10.88.0.0/16", "--pool", "fd88::/64")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(notify))
            manager.settimeout(PATIENCE)
            with (self._folder / "told").open("a") as errors:
                self._process = self.machine.popen(
                    *(*WW, "serve", "--json", "--state-directory", str(self._folder / "state")),
                    *(*words, *pools),
                    env={"NOTIFY_SOCKET": str(notify), "WATCHDOG_USEC": "3000000"},
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                )
            assert manager.recv(1000).startswith(b"READY=1\n")
            assert manager.recv(1000) == b"WATCHDOG=1"

    def ww(self, *words: str, said: str = "") -> dict[str, Any]:
        done = self.machine.run(*WW, *words, "--json", input=said, env=self._state)
        data: dict[str, Any] = json.loads(done.stdout)
        return data

    def end(self) -> None:
        os.kill(process_of(self.machine, "--state-directory"), signal.SIGTERM)
        said, _ = self._process.communicate(timeout=PATIENCE)
        assert self._process.returncode == 0
        assert json.loads(said)["gateway"] == "wg0, our engine"


# Sessions end and begin again several times, by the protocol's own pauses.
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_devices_reach_the_outside_until_they_are_cut_off(tmp_path: Path) -> None:
    with Lab(topology()) as lab:
        served = Served(lab["gate"], tmp_path)
        served.start()
        phone = Node(lab["phone"], ("10.88.0.2", "fd88::2")).start()
        made = served.ww("device", "add", "phone", said=str(phone.public_key))
        assert made["addresses"] == ["10.88.0.2", "fd88::2"]
        there = f"[Peer]\nPublicKey = {made['tunnel']['gateway_public_key']}\nAllowedIPs = 0.0.0.0/0, ::/0\n"
        phone.setconf(f"{there}Endpoint = {made['tunnel']['endpoint']}\n")
        for family in ("-4", "-6"):
            lab["phone"].run("ip", family, "route", "add", "default", "dev", "wg0")
        assert phone.reaches(SHOP[4], seconds=PATIENCE)
        assert phone.reaches(SHOP[6], seconds=PATIENCE)
        until(
            lambda: served.ww("device", "show", "phone")["activity"] is not None, "it is reported", PATIENCE
        )
        served.ww("device", "disable", "phone")
        until(lambda: not phone.reaches(SHOP[4], seconds=1), "it is cut off", PATIENCE)
        served.ww("device", "enable", "phone")
        assert phone.reaches(SHOP[4], seconds=PATIENCE)
        served.end()
        assert is_clear(lab["gate"])
        # The next one has the same key, and the devices.
        served.start()
        assert phone.reaches(SHOP[4], seconds=PATIENCE)
        served.end()
        assert is_clear(lab["gate"])
        assert "Traceback" not in (tmp_path / "told").read_text()
