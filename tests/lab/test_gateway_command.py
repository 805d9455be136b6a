"""`ww gateway` beside a coordinator: from its credential to its end, and while the coordinator is away."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, missing
from tests.coordinator.cluster import REMEDY, cluster
from tests.lab.gateways import GATE, SHOP, is_clear, process_of, topology, until
from tests.lab.nodes import Node
from wirewright.lab import Lab, Machine

WW = (sys.executable, "-m", "wirewright")
PATIENCE = 40


class Coordinator:
    """A coordinator in a host."""

    def __init__(self, machine: Machine, database: str) -> None:
        pipe = subprocess.PIPE
        words = (sys.executable, "-m", "tests.lab.coordinator_process", database)
        path = f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"
        self.process = machine.popen(*words, stdin=pipe, stdout=pipe, text=True, env={"PYTHONPATH": path})
        self.url, self.credential = self._line(), self._line()

    def ask(self, *words: str) -> str:
        assert self.process.stdin is not None
        print(*words, file=self.process.stdin, flush=True)
        return self._line()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = str(self.process.stdout.readline()).strip()
        assert line
        return line


class Gateway:
    """The command, as a service manager runs it."""

    def __init__(self, machine: Machine, folder: Path, url: str) -> None:
        self.machine = machine
        notify = folder / "notify"
        notify.unlink(missing_ok=True)
        words = ("--coordinator", url, "--state-directory", str(folder), "--interface", "wg0")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(notify))
            manager.settimeout(PATIENCE)
            with (folder / "told").open("a") as errors:
                self.process = machine.popen(
                    *(*WW, "gateway", "--json", *words, "--engine", "wirewright", "--metrics", "0"),
                    env={"NOTIFY_SOCKET": str(notify), "WATCHDOG_USEC": "3000000"},
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                )
            while not (said := manager.recv(1000)).startswith(b"READY=1\n"):
                assert said == b"WATCHDOG=1"

    def end(self) -> dict[str, int]:
        """Ask it to end; give its counters."""
        os.kill(process_of(self.machine, "--state-directory"), signal.SIGTERM)
        said, _ = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0
        first, _, rest = said.partition("\n")
        assert json.loads(first)["serving"]
        counters: dict[str, int] = json.loads(rest)["counters"]
        return counters


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database of the coordinator's, on each of the two."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/coordinator.sqlite"
        return
    with cluster() as running:
        if running is None:
            missing("PostgreSQL", REMEDY)
        with running.database() as address:
            yield address


def test_it_serves_reports_outlives_its_coordinator_and_ends_clean(tmp_path: Path, database: str) -> None:
    with Lab(topology()) as lab:
        machine, told = lab["gate"], tmp_path / "told"
        coordinator = Coordinator(machine, database)
        file = tmp_path / "gateway.credential"
        file.write_text(coordinator.credential)
        file.chmod(0o600)
        gateway = Gateway(machine, tmp_path, coordinator.url)
        phone = Node(lab["phone"], ("10.88.0.2", "fd88::2")).start()
        key = str(phone.public_key)
        device = coordinator.ask("add", "phone", key)
        until(lambda: key in machine.run("wg", "show", "wg0", "peers").stdout, "it is told", 40)
        public_key = machine.run("wg", "show", "wg0", "public-key").stdout.strip()
        there = f"[Peer]\nPublicKey = {public_key}\nAllowedIPs = 0.0.0.0/0, ::/0\n"
        there += f"Endpoint = {GATE['phone']}:51820\n"
        phone.setconf(there)
        for family in ("-4", "-6"):
            lab["phone"].run("ip", family, "route", "add", "default", "dev", "wg0")
        assert phone.reaches(SHOP[4], seconds=PATIENCE)
        assert phone.reaches(SHOP[6], seconds=PATIENCE)
        until(lambda: int(coordinator.ask("seen", device)) > 0, "it is reported", 40)

        (page,) = re.findall(r"http://\S+/metrics", told.read_text())
        fetch = f"import urllib.request; print(urllib.request.urlopen({page!r}).read().decode())"
        metrics = machine.python(fetch).stdout
        assert "wirewright_gateway_devices 1.0" in metrics
        assert "wirewright_gateway_connected 1.0" in metrics
        assert key not in metrics

        coordinator.kill()
        counters = gateway.end()
        assert counters["reported_devices"] > 0
        assert is_clear(machine)
        # The coordinator is away for good.
        gateway = Gateway(machine, tmp_path, coordinator.url)
        phone.setconf(there)
        assert phone.reaches(SHOP[4], seconds=PATIENCE)
        gateway.end()
        assert is_clear(machine)
        assert "the coordinator is away" in told.read_text()
        assert "Traceback" not in told.read_text()
