"""``ww lease`` against ``ww gateway`` on the kernel's WireGuard in a virtual machine.

The coordinator is on the host a, and so is the device, which asks for its addresses itself.
"""

from __future__ import annotations

import json
import shlex
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT
from tests.lab.kernel import HERE, THERE, lab_with_guest
from tests.lab.nodes import Node, until
from tests.lab.test_dynamic import WW, Running
from wirewright.dynamic import link_local
from wirewright.keys import SecretKey
from wirewright.lab.initramfs import GuestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wirewright.lab import Lab
    from wirewright.lab.guest import Guest

# Python alone takes a minute to begin in an emulated machine.
pytestmark = [pytest.mark.timeout(1200), pytest.mark.slow]
COORDINATOR, PROGRAM = (
    str(Path(__file__).with_name(name)) for name in ("leasing_coordinator.py", "guest_gateway.py")
)
SAID = "/share/run/said"


class Site:
    """The coordinator, the gateway in the guest, and the device."""

    def __init__(self, lab: Lab, guest: Guest, folder: Path) -> None:
        self.lab, self.guest, self.folder = lab, guest, folder
        self.node = Node(lab["a"], key=SecretKey.generate()).start()
        self.state = folder / "state"
        self.state.mkdir(mode=0o700)
        self.started: list[Running] = []
        words = (sys.executable, COORDINATOR, str(self.state), str(self.node.public_key))
        self.begin(*words, ready="a coordinator at ", LISTEN=HERE[4])
        secret = (self.state / "gateway.credential").read_text().strip()
        guest.run("mkdir -m 700 /share/run/gateway")
        guest.run(f"umask 077; echo {secret} >/share/run/gateway/gateway.credential")

    def begin(self, *command: str, ready: str, **environment: str) -> Running:
        """Begin a program on the host a, and wait until it has said so."""
        words = self.folder / f"words-{len(self.started)}"
        with words.open("w") as file:
            process = self.lab["a"].popen(
                *command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={"PYTHONUNBUFFERED": "1", **environment},
            )
        running = Running(process, self.lab["a"], words)
        self.started.append(running)
        until(lambda: ready in running.said() or process.poll() is not None, f"{command[:3]} begins", 120)
        assert ready in running.said(), running.said()
        return running

    def gateway(self, seconds: int) -> None:
        """Start the gateway, whose leases are of so many seconds, and wait until it serves."""
        words = ("--state-directory", "/run/gateway", "--interface", "wg0", "--engine", "kernel", "--json")
        environment = ("env", f"PYTHONPATH={ROOT / 'src'}:{ROOT}", "PYTHONUNBUFFERED=1")
        program = (sys.executable, PROGRAM, HERE[4], *words, "--lease-time", str(seconds))
        line = shlex.join(("chroot", "/share", *environment, *program))
        self.guest.run(f"rm -f {SAID}")
        self.guest.run(f"{line} >{SAID} 2>&1 & echo $! >/gateway")
        until(lambda: '"serving"' in self.said() or not self.runs(), "it serves", 400)
        assert '"serving"' in self.said(), self.said()
        key = self.guest.run("wg show wg0 public-key").strip()
        self.node.setconf(
            f"[Peer]\nPublicKey = {key}\nEndpoint = {THERE[4]}:51820\n"
            "AllowedIPs = fe80::/128, 10.88.0.0/24, fd88::/120\n"
        )

    def said(self) -> str:
        try:
            return self.guest.run(f"cat {SAID}")
        except GuestError:
            return ""

    def runs(self) -> bool:
        # Nobody may wait for it, so that its number stays.
        return "gateway" in self.guest.run("cat /proc/$(cat /gateway)/cmdline || :")

    def end(self, number: str = "TERM") -> None:
        self.guest.run(f"kill -{number} $(cat /gateway)")
        until(lambda: not self.runs(), "it ends", 90)

    def obtained(self) -> set[str]:
        """Ask until an answer comes: a server of leases begins a moment after its gateway."""
        found: set[str] = set()

        def obtain() -> bool:
            done = self.lab["a"].run(WW, "lease", "wg0", "--once", "--json", check=False, timeout=120)
            found.update(json.loads(done.stdout).get("addresses", ()))
            return bool(found)

        until(obtain, "a lease is had", 240)
        return found

    def allowed(self) -> set[str]:
        """What the kernel's interface gives to the device, but for its identity."""
        rows = (line.split("\t", 1) for line in self.guest.run("wg show wg0 allowed-ips").splitlines())
        networks = dict(rows)[str(self.node.public_key)].split()
        return {each.split("/")[0] for each in networks} - {str(link_local(self.node.public_key))}

    def kept(self, query: str) -> Any:
        """Ask the coordinator's database."""
        with closing(sqlite3.connect(f"file:{self.state}/coordinator.sqlite?mode=ro", uri=True)) as database:
            return database.execute(query).fetchone()[0]


def leases(client: Running) -> list[dict[str, Any]]:
    """What a client said of its leases; it may have said of a trouble between them."""
    return [json.loads(line) for line in client.said().splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with lab_with_guest(share=Path("/")) as (lab, guest):
        made = Site(lab, guest, tmp_path_factory.mktemp("site"))
        try:
            yield made
        finally:
            for running in made.started:
                running.process.kill()
                running.process.wait()


def test_a_lease_is_had_renewed_and_over(site: Site) -> None:
    site.gateway(40)
    client = site.begin(WW, "lease", "wg0", "--json", ready='"until"')
    held = set(leases(client)[0]["addresses"])
    assert len(held) == 2
    until(lambda: site.allowed() == held, "the interface has it", 60)
    for network in ("10.88.0.0/24", "fd88::/120"):
        site.lab["a"].run("ip", "route", "add", network, "dev", "wg0")
    for gateway in ("10.88.0.1", "fd88::1"):
        assert site.node.reaches(gateway, seconds=60)
    until(lambda: client.said().count('"until"') >= 2, "the lease is renewed", 120)
    assert {frozenset(lease["addresses"]) for lease in leases(client)} == {frozenset(held)}
    client.end(signal.SIGTERM)
    until(lambda: site.allowed() == set(), "the lease ends", 90)
    leased = "SELECT count(*) FROM address WHERE kind = 'leased' AND state = 'held'"
    until(lambda: site.kept(leased) == 0, "the coordinator knows", 60)
    site.end()
    assert "wg0" not in site.guest.run("ip -o link")
    assert "Traceback" not in site.said()


def test_a_lease_goes_on_while_the_gateway_is_away_and_is_the_same_afterwards(site: Site) -> None:
    site.gateway(3600)
    held = site.obtained()
    assert site.allowed() == held
    site.end("KILL")
    # The interface is the kernel's: who has a lease does not notice.
    assert site.allowed() == held
    site.gateway(3600)
    assert site.allowed() == held
    assert site.obtained() == site.allowed() == held
    site.end()
    assert "wg0" not in site.guest.run("ip -o link")
    assert "Traceback" not in site.said()
