"""DNS servers and search domains of a file, by `ww up` and `ww down`, through what the host has for them."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.lab.nodes import INNER, OUTER, Node, cable, peer_section, until
from tests.lab.resolvers import RECORDS, debian, names, openresolv, read, systemd_resolved
from wirewright.lab import Lab, Machine, RunError

WW = str(Path(sys.executable).with_name("ww"))
# Of the servers one is there, and knows `db.example`.
DNS = "DNS = 10.7.0.2, 2620:fe::fe, example"
WAYS = pytest.mark.parametrize("way", [systemd_resolved, openresolv, debian])
Way = Callable[[Machine], None]


@contextmanager
def visitor(way: Way, folder: Path, more: str = DNS) -> Iterator[tuple[Node, Path]]:
    """Prepare a host, the file of its interface, and a server of names behind that."""
    with ExitStack() as ended, Lab(cable()) as lab:
        here, there = Node(lab["a"], INNER[0]), Node(lab["b"], INNER[1])
        there.start().setconf(peer_section(here))
        process = names(lab["b"], "10.7.0.2", folder)
        ended.callback(process.wait)
        way(lab["a"])
        if way is not systemd_resolved:
            # As the client of DHCP has it, before any tunnel is there.
            lab["a"].run("resolvconf", "-a", "eth0", input="nameserver 192.0.2.53\nsearch home.example\n")
        file = folder / "wg0.conf"
        file.touch(mode=0o600)
        section = f"{here.interface_section()}Address = 10.7.0.1/24, fd07::1/64\n{more}\n"
        file.write_text(section + peer_section(there, endpoint=OUTER[4][1]))
        yield here, file


def look(machine: Machine) -> str:
    """Tell all that the host knows of servers and domains."""
    status = machine.run("sh", "-c", "! [ -e /run/dbus ] || resolvectl --no-pager status").stdout
    records = machine.run("sh", "-c", RECORDS, check=False).stdout
    # Which server is asked now, and not which there are.
    return re.sub(r" *Current DNS Server:.*\n", "", status) + records + read(machine, "/etc/resolv.conf")


def finds(machine: Machine, name: str) -> str:
    """Resolve a name as every program of the host does."""
    return machine.run("getent", "ahostsv4", name, check=False).stdout


@WAYS
def test_names_are_found_while_it_is_up_and_all_is_as_before_when_it_is_down(
    way: Way, tmp_path: Path
) -> None:
    with visitor(way, tmp_path) as (here, file):
        before = look(here.machine)
        here.machine.run(WW, "up", str(file), "--engine", "wirewright")
        after = look(here.machine)
        assert all(word in after for word in ("10.7.0.2", "2620:fe::fe", "example"))
        assert finds(here.machine, "db.example").startswith("10.7.0.2 ")
        # By the search domain.
        assert finds(here.machine, "db").startswith("10.7.0.2 ")
        here.machine.run(WW, "down", str(file))
        assert look(here.machine) == before


@WAYS
def test_all_is_as_before_when_a_later_step_fails(way: Way, tmp_path: Path) -> None:
    said = tmp_path / "said"
    more = f"{DNS}\nPostUp = getent ahostsv4 db > {said}\nPostUp = exit 3"
    with visitor(way, tmp_path, more) as (here, file):
        before = look(here.machine)
        with pytest.raises(RunError, match="exit status 3; everything was undone"):
            here.machine.run(WW, "up", str(file), "--engine", "wirewright")
        # It had come so far.
        assert said.read_text().startswith("10.7.0.2 ")
        assert here.is_gone()
        assert look(here.machine) == before


@WAYS
def test_a_service_whose_engine_dies_leaves_no_servers(way: Way, tmp_path: Path) -> None:
    with visitor(way, tmp_path) as (here, file):
        before = look(here.machine)
        words = (WW, "up", "--wait", "--engine", "wirewright", str(file))
        process = here.machine.popen(*words, env={"WATCHDOG_USEC": "600000"})
        until(lambda: "2620:fe::fe" in look(here.machine), "servers are set", 40)
        until(lambda: finds(here.machine, "db").startswith("10.7.0.2 "), "it is up", 40)
        lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in here.machine.processes()}
        [engine] = (pid for pid, line in lines.items() if b"\0wirewright.tun\0" in line)
        os.kill(engine, signal.SIGKILL)
        assert process.wait(40) == 1
        assert look(here.machine) == before
