"""``ww lease`` against a gateway whose leases a coordinator keeps."""

from __future__ import annotations

import json
import signal
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.nodes import OUTER, Node, cable, peer_section, until
from tests.lab.test_dynamic import WW, Running
from wirewright.dynamic import link_local
from wirewright.keys import PublicKey, SecretKey
from wirewright.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = str(Path(__file__).with_name("leasing_gateway.py"))

pytestmark = pytest.mark.timeout(240)


class Site:
    """The gateway on a, and a device of it on b that asks for its addresses itself."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.b = Node(lab["b"], key=SecretKey.generate()).start()
        self.state = folder / "state"
        self.state.mkdir(mode=0o700)
        self.started: list[Running] = []

    def gateway(self, seconds: int) -> Running:
        words = (sys.executable, PROGRAM, str(self.state), str(seconds), str(self.b.public_key))
        running = self.begin("a", *words, ready="serving as ")
        self.key = PublicKey.from_base64(running.said().rpartition("serving as ")[2].strip())
        known = Node(self.lab["a"], key=SecretKey.generate())
        section = peer_section(known, endpoint=OUTER[4][0], allowed=("fe80::/128", "10.88.0.0/24"))
        self.b.setconf(section.replace(str(known.public_key), str(self.key)))
        return running

    def begin(self, host: str, *command: str, ready: str) -> Running:
        words = self.folder / f"words-{len(self.started)}"
        with words.open("w") as file:
            process = self.lab[host].popen(*command, stdout=file, stderr=file, env={"PYTHONUNBUFFERED": "1"})
        running = Running(process, self.lab[host], words)
        self.started.append(running)
        until(lambda: ready in running.said() or process.poll() is not None, f"{command[:3]} begins", 90)
        assert ready in running.said(), running.said()
        return running

    def once(self) -> list[str]:
        done = self.lab["b"].run(WW, "lease", "wg0", "--once", "--json")
        found: list[str] = json.loads(done.stdout)["addresses"]
        return found

    def allowed(self) -> set[str]:
        """What the gateway's interface gives to the device, but for its identity."""
        said = self.lab["a"].run("wg", "show", "wg0", "allowed-ips").stdout
        rows = dict(line.split("\t", 1) for line in said.splitlines())
        found = {each.split("/")[0] for each in rows[str(self.b.public_key)].split()}
        return found - {str(link_local(self.b.public_key))}

    def kept(self) -> int:
        """Count the addresses that devices have on lease, as the coordinator's database says."""
        with sqlite3.connect(f"file:{self.state}/coordinator.sqlite?mode=ro", uri=True) as database:
            rows = database.execute("SELECT count(*) FROM address WHERE kind = 'leased' AND state = 'held'")
            count: int = rows.fetchone()[0]
        return count


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Lab(cable()) as lab:
        made = Site(lab, tmp_path)
        try:
            yield made
        finally:
            for running in made.started:
                running.process.kill()
                running.process.wait()


def test_a_lease_that_a_coordinator_keeps_is_had_refreshed_over_and_there_after_a_crash(site: Site) -> None:
    gateway = site.gateway(6)
    client = site.begin("b", WW, "lease", "wg0", "--json", ready='"until"')
    held = set(json.loads(client.said().splitlines()[0])["addresses"])
    assert len(held) == 2
    until(lambda: site.allowed() == held, "the interface has it")
    site.lab["b"].run("ip", "route", "add", "10.88.0.0/24", "dev", "wg0")
    site.b.ping("10.88.0.1")
    # It is refreshed at half its time, and stays the same.
    until(lambda: client.said().count('"until"') >= 3, "the lease is refreshed", 90)
    lines = [json.loads(line) for line in client.said().splitlines()]
    assert {frozenset(line["addresses"]) for line in lines} == {frozenset(held)}
    client.end()
    until(lambda: site.allowed() == set(), "the lease ends", 90)
    until(lambda: not site.kept(), "the coordinator knows")
    assert "Traceback" not in gateway.end()
    assert "wg0" not in site.lab["a"].run("ip", "-o", "link").stdout
    # With longer ones, and a crash.
    gateway = site.gateway(3600)
    # It gets back what was held back for it.
    assert set(site.once()) == held
    gateway.end(signal.SIGKILL)
    gateway = site.gateway(3600)
    assert site.allowed() == held
    assert set(site.once()) == held
    assert "Traceback" not in gateway.end()


def test_a_new_key_has_the_device_s_lease(site: Site, tmp_path: Path) -> None:
    site.gateway(3600)
    file = tmp_path / "wg0.conf"
    file.touch(mode=0o600)
    server = Node(site.lab["a"])
    section = peer_section(server, endpoint=OUTER[4][0], allowed=("fe80::/128",))
    section = section.replace(str(server.public_key), str(site.key))
    file.write_text(site.b.interface_section() + section)
    held = site.once()
    done: Any = site.lab["b"].run(WW, "lease", str(file), "--new-key", "--once", "--json")
    assert json.loads(done.stdout)["addresses"] == held
    new = site.b.wg("show", "public-key").strip()
    assert new != str(site.b.public_key)

    def peers() -> list[str]:
        return site.lab["a"].run("wg", "show", "wg0", "peers").stdout.split()

    until(lambda: peers() == [new], "the old key is gone")
    # The coordinator says so, too: it stays when the gateway begins anew.
    with sqlite3.connect(f"file:{site.state}/coordinator.sqlite?mode=ro", uri=True) as database:
        [(key,)] = database.execute("SELECT public_key FROM device").fetchall()
    assert str(PublicKey.from_hex(key.hex())) == new
