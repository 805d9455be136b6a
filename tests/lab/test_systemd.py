"""The unit `wirewright@.service` under systemd itself: started, watched, reloaded and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.nodes import INNER, OUTER, Node, cable, peer_section, until
from tests.lab.resolvers import debian, openresolv, read, systemd_resolved
from tests.lab.systemd import UNIT, Manager, systemd
from tests.lab.test_up_options import LOOK
from wirewright.lab import Lab, Machine

if TYPE_CHECKING:
    from tests.lab.test_dns import Way

pytestmark = pytest.mark.timeout(300)

SERVICE = "wirewright@wg0.service"
FILE = "/etc/wireguard/wg0.conf"


@dataclass
class Served:
    """A host whose service manager has our unit, with the file of an interface."""

    manager: Manager
    here: Node
    there: Node

    @property
    def machine(self) -> Machine:
        return self.manager.machine

    def write(self, *, allowed: tuple[str, ...] = ("10.7.0.0/24", "203.0.113.0/24"), more: str = "") -> None:
        peer = peer_section(self.there, endpoint=OUTER[4][1], allowed=allowed)
        text = f"{self.here.interface_section()}Address = 10.7.0.1/24\n{more}\n{peer}"
        self.machine.run("sh", "-ec", f"umask 077; cat > {FILE}", input=text)

    def look(self) -> str:
        return self.machine.run("sh", "-c", f"{LOOK}; cat /etc/resolv.conf").stdout

    def start(self) -> None:
        """Return when the unit is active: when `ww` has said that it is."""
        self.manager.ctl("start", SERVICE)

    def main(self) -> int:
        """Give the main process, as this machine numbers it."""
        return self.only("--wait")

    def engine(self) -> int:
        return self.only("wirewright.tun")

    def only(self, word: str) -> int:
        (pid,) = (pid for pid, words in self.manager.processes().items() if word in words and "-m" in words)
        return pid


@contextmanager
def served(way: Way = openresolv, settings: str = "") -> Iterator[Served]:
    with Lab(cable()) as lab:
        there = Node(lab["b"], (*INNER[1], "203.0.113.9")).start()
        here = Node(lab["a"], INNER[0])
        there.setconf(peer_section(here))
        way(lab["a"])
        if way is debian:
            lab["a"].run("resolvconf", "-a", "eth0", input="nameserver 192.0.2.53\n")
        with systemd(lab["a"], settings=settings) as manager:
            yield Served(manager, here, there)


def test_it_starts_when_the_interface_is_up_takes_changes_in_and_stops_without_a_trace() -> None:
    with served() as at:
        at.write()
        before = at.look()
        at.start()
        # No waiting: that is what readiness means.
        assert at.here.is_there()
        assert at.here.dump().port == at.here.port
        assert at.manager.property(SERVICE, "StatusText") == "wg0 is up"
        at.here.ping("203.0.113.9")
        handshake = at.here.latest_handshake(at.there)
        at.write(allowed=("10.7.0.0/24", "203.0.113.0/24", "10.9.0.0/16"))
        at.manager.ctl("reload", SERVICE)
        assert "10.9.0.0/16" in at.here.dump().peers[str(at.there.public_key)].allowed_ips
        assert at.here.latest_handshake(at.there) == handshake
        at.manager.ctl("stop", SERVICE)
        assert at.manager.property(SERVICE, "Result") == "success"
        assert at.look() == before
        assert [words for words in at.manager.processes().values() if "-m" in words] == []


def test_a_file_that_is_wrong_fails_the_start_with_words() -> None:
    with served(settings="Restart=no\n") as at:
        at.write(more="PostUp = exit 3")
        before = at.look()
        at.manager.ctl("start", SERVICE, check=False)
        assert at.manager.property(SERVICE, "ActiveState") == "failed"
        assert "exit 3: the hook failed, exit status 3; everything was undone" in at.manager.said()
        assert at.look() == before


@pytest.mark.parametrize("which", ["main", "engine"])
def test_what_does_not_answer_is_started_again(which: str) -> None:
    quick = "WatchdogSec=6s\nRestartSec=100ms\nTimeoutStopSec=10s\nTimeoutAbortSec=10s\n"
    with served(settings=quick) as at:
        at.write()
        at.start()
        main = at.main()
        os.kill(getattr(at, which)(), signal.SIGSTOP)
        until(lambda: at.manager.property(SERVICE, "NRestarts") != "0", "it begins anew", 100)
        until(lambda: at.here.reaches("203.0.113.9"), "the tunnel works again", 60)
        assert at.main() != main
        at.manager.ctl("stop", SERVICE)


@pytest.mark.parametrize("way", [systemd_resolved, openresolv, debian])
def test_what_it_may_do_is_enough_for_a_full_tunnel_dns_and_hooks(way: Way) -> None:
    more = "DNS = 10.7.0.2, example\n" + "\n".join(
        f"{hook} = echo {hook} %i >> /run/hooks" for hook in ("PreUp", "PostUp", "PreDown", "PostDown")
    )
    with served(way) as at:
        at.write(allowed=("0.0.0.0/0", "::/0"), more=f"{more}\nListenPort = 500")
        before = at.look()
        at.start()
        at.here.ping("203.0.113.9")
        assert "wirewright-wg0" in at.machine.run("nft", "list", "ruleset").stdout
        where = "resolvectl status wg0" if way is systemd_resolved else "cat /etc/resolv.conf"
        assert "10.7.0.2" in at.machine.run("sh", "-c", where).stdout
        held = granted(at.main())
        assert held == granted(at.engine())
        assert held == named("cap_net_admin", "cap_net_bind_service", "cap_ipc_lock")
        at.manager.ctl("stop", SERVICE)
        assert at.manager.property(SERVICE, "Result") == "success", at.manager.said()
        assert at.look() == before
        assert "failed" not in at.manager.said()
        hooks = read(at.machine, "/run/hooks").splitlines()
        assert hooks == ["PreUp wg0", "PostUp wg0", "PreDown wg0", "PostDown wg0"]


def granted(pid: int) -> int:
    """Give the capabilities that a process may have, as bits."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "CapBnd" in line)
    return int(line.split()[1], 16)


def named(*names: str) -> int:
    numbers = {"cap_net_bind_service": 10, "cap_net_admin": 12, "cap_ipc_lock": 14}
    return sum(1 << numbers[name] for name in names)


def test_what_it_may_do_is_little(tmp_path: Path) -> None:
    """By systemd's own measure, where 10 is a service that may do anything."""
    (tmp_path / "wirewright@wg0.service").write_text(UNIT.read_text().replace("=ww ", "=/usr/bin/ww "))
    words = ("systemd-analyze", "security", "--offline=yes", "--threshold=45", "--no-pager")
    done = subprocess.run(
        [*words, str(tmp_path / "wirewright@wg0.service")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
