"""``ww lease`` against ``ww gateway``, whose leases a coordinator keeps."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text

from tests.conftest import missing
from tests.coordinator.cluster import REMEDY, cluster
from tests.lab.nodes import OUTER, Node, cable, peer_section, until
from tests.lab.test_dynamic import WW, Running
from wirewright.dynamic import link_local
from wirewright.keys import PublicKey, SecretKey
from wirewright.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = str(Path(__file__).with_name("leasing_coordinator.py"))

pytestmark = pytest.mark.timeout(240)


class Site:
    """A coordinator and its gateway on a, and on b a device that asks for its addresses itself."""

    def __init__(self, lab: Lab, folder: Path, database: str) -> None:
        self.lab, self.folder, self.database = lab, folder, database
        self.b = Node(lab["b"], key=SecretKey.generate()).start()
        self.state = folder / "state"
        self.state.mkdir(mode=0o700)
        self.started: list[Running] = []
        self.coordinator = self.coordinate()

    def coordinate(self) -> Running:
        words = (sys.executable, PROGRAM, str(self.state), str(self.b.public_key))
        return self.begin("a", *words, ready="a coordinator at ")

    def gateway(self, seconds: int) -> Running:
        words = ("--coordinator", "http://127.0.0.1:8080", "--state-directory", str(self.state))
        more = ("--interface", "wg0", "--engine", "wirewright", "--no-masquerade", "--register-keys")
        time = ("--lease-time", str(seconds))
        running = self.begin("a", WW, "gateway", *words, *more, *time, "--json", ready='"serving"')
        self.key = self.lab["a"].run("wg", "show", "wg0", "public-key").stdout.strip()
        self.b.setconf(self.peer("fe80::/128", "10.88.0.0/24"))
        return running

    def rootless_gateway(self, seconds: int) -> Running:
        words = ("--coordinator", "http://127.0.0.1:8080", "--state-directory", str(self.state))
        more = ("--engine", "rootless", "--lease-time", str(seconds))
        running = self.begin("a", WW, "gateway", *words, *more, "--json", ready='"serving"')
        key = "SELECT public_key FROM gateway"
        until(lambda: self.kept(key) is not None, "the coordinator is told the gateway's key", 60)
        self.key = str(PublicKey.from_hex(self.kept(key).hex()))
        self.b.setconf(self.peer("fe80::/128", "10.88.0.0/24"))
        return running

    def peer(self, *allowed: str) -> str:
        """The gateway's section in the device's configuration."""
        some = Node(self.lab["a"])
        section = peer_section(some, endpoint=OUTER[4][0], allowed=allowed)
        return section.replace(str(some.public_key), self.key)

    def begin(self, host: str, *command: str, ready: str) -> Running:
        words = self.folder / f"words-{len(self.started)}"
        environment = {"PYTHONUNBUFFERED": "1", "DATABASE": self.database}
        with words.open("w") as file:
            process = self.lab[host].popen(*command, stdout=file, stderr=file, env=environment)
        running = Running(process, self.lab[host], words)
        self.started.append(running)
        until(lambda: ready in running.said() or process.poll() is not None, f"{command[:3]} begins", 90)
        assert ready in running.said(), running.said()
        return running

    def once(self) -> dict[str, Any]:
        said = self.lab["b"].run(WW, "lease", "wg0", "--once", "--json", check=False).stdout
        found: dict[str, Any] = json.loads(said)
        return found

    def obtained(self) -> set[str]:
        """Ask until an answer comes: a server of leases begins a moment after its gateway."""
        found: set[str] = set()

        def obtain() -> bool:
            found.update(self.once().get("addresses", ()))
            return bool(found)

        until(obtain, "a lease is had", 90)
        return found

    def allowed(self) -> set[str]:
        """What the gateway's interface gives to the device, but for its identity."""
        said = self.lab["a"].run("wg", "show", "wg0", "allowed-ips").stdout
        rows = dict(line.split("\t", 1) for line in said.splitlines())
        found = {each.split("/")[0] for each in rows[str(self.b.public_key)].split()}
        return found - {str(link_local(self.b.public_key))}

    def kept(self, query: str) -> Any:
        """Ask the coordinator's database."""
        url = make_url(self.database)
        driver = "postgresql+psycopg" if url.drivername == "postgresql" else url.drivername
        engine = create_engine(url.set(drivername=driver), poolclass=NullPool)
        with engine.connect() as connection:
            return connection.execute(text(query)).scalar_one()


def leases(client: Running) -> list[dict[str, Any]]:
    """What a client said of its leases; it may have said of a trouble between them."""
    return [json.loads(line) for line in client.said().splitlines() if line.startswith("{")]


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        database = f"sqlite:///{tmp_path}/state/coordinator.sqlite"
        if request.param == "postgresql":
            server = stack.enter_context(cluster())
            if server is None:
                missing("PostgreSQL", REMEDY)
            database = stack.enter_context(server.database())
        lab = stack.enter_context(Lab(cable()))
        made = Site(lab, tmp_path, database)
        try:
            yield made
        finally:
            for running in made.started:
                running.process.kill()
                running.process.wait()


def test_a_lease_is_had_refreshed_and_over_and_there_after_a_crash_of_either_end(site: Site) -> None:
    gateway = site.gateway(4)
    client = site.begin("b", WW, "lease", "wg0", "--json", ready='"until"')
    held = set(leases(client)[0]["addresses"])
    assert len(held) == 2
    until(lambda: site.allowed() == held, "the interface has it")
    site.lab["b"].run("ip", "route", "add", "10.88.0.0/24", "dev", "wg0")
    site.b.ping("10.88.0.1")
    # It is refreshed at half its time, and stays the same.
    until(lambda: client.said().count('"until"') >= 2, "the lease is refreshed", 90)
    assert {frozenset(lease["addresses"]) for lease in leases(client)} == {frozenset(held)}
    client.end()
    until(lambda: site.allowed() == set(), "the lease ends", 90)
    until(lambda: site.kept(HELD) == 0, "the coordinator knows")
    assert "Traceback" not in gateway.end()
    assert "wg0" not in site.lab["a"].run("ip", "-o", "link").stdout
    # Longer ones. It gets back what was held back for it.
    gateway = site.gateway(3600)
    assert site.obtained() == held
    gateway.end(signal.SIGKILL)
    gateway = site.gateway(3600)
    assert site.obtained() == site.allowed() == held
    # Without the coordinator the lease goes on, and whoever asks is told.
    site.coordinator.end(signal.SIGKILL)
    until(lambda: "cannot do it now" in site.once().get("error", ""), "the client is told", 60)
    assert site.allowed() == held
    site.coordinate()
    assert site.obtained() == site.allowed() == held
    assert "Traceback" not in gateway.end()


HELD = "SELECT count(*) FROM address WHERE kind = 'leased' AND state = 'held'"


def test_a_rootless_gateway_gives_leases_that_carry_packets_and_outlive_it(site: Site) -> None:
    gateway = site.rootless_gateway(4)
    client = site.begin("b", WW, "lease", "wg0", "--json", ready='"until"')
    held = set(leases(client)[0]["addresses"])
    assert len(held) == 2
    site.lab["b"].run("ip", "route", "replace", "10.88.0.0/24", "dev", "wg0")
    site.b.ping("10.88.0.1")
    until(lambda: client.said().count('"until"') >= 2, "the lease is refreshed", 90)
    assert {frozenset(lease["addresses"]) for lease in leases(client)} == {frozenset(held)}
    client.end()
    until(lambda: site.kept(HELD) == 0, "the lease ends, and the coordinator knows", 90)
    assert "Traceback" not in gateway.end()
    gateway = site.rootless_gateway(3600)
    assert site.obtained() == held
    gateway.end(signal.SIGKILL)
    gateway = site.rootless_gateway(3600)
    assert site.obtained() == held
    # The route before went with the address before.
    site.lab["b"].run("ip", "route", "replace", "10.88.0.0/24", "dev", "wg0")
    site.b.ping("10.88.0.1")
    assert "Traceback" not in gateway.end()


def test_a_new_key_has_the_lease_of_the_device_and_is_its_key_from_now_on(site: Site, tmp_path: Path) -> None:
    site.gateway(3600)
    file = tmp_path / "wg0.conf"
    file.touch(mode=0o600)
    file.write_text(site.b.interface_section() + site.peer("fe80::/128"))
    held = site.obtained()
    done = site.lab["b"].run(WW, "lease", str(file), "--new-key", "--once", "--json")
    assert set(json.loads(done.stdout)["addresses"]) == held
    new = site.b.wg("show", "public-key").strip()
    assert new != str(site.b.public_key)

    def peers() -> list[str]:
        return site.lab["a"].run("wg", "show", "wg0", "peers").stdout.split()

    until(lambda: peers() == [new], "the old key is gone")
    key = site.kept("SELECT public_key FROM device")
    assert str(PublicKey.from_hex(key.hex())) == new
