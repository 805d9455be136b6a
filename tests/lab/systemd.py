"""systemd itself as the service manager of a host: in a PID namespace and a control group of its own.

It knows no units but those that it is given, so that it starts nothing else and is up in a moment.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import ROOT, missing
from tests.lab.nodes import until

if TYPE_CHECKING:
    from wirewright.lab import Machine

SYSTEMD = Path("/lib/systemd/systemd")
UNIT = ROOT / "contrib" / "systemd" / "wirewright@.service"
UNITS = "/run/units"
TARGETS = ("sysinit", "basic", "shutdown", "network-online", "nss-lookup", "multi-user")
# The sandbox of a unit hides homes, where this Python may lie; /opt it shows.
PROGRAM = """#!/bin/sh
export PYTHONPATH=/opt/source:/opt/packages PYTHONDONTWRITEBYTECODE=1 LD_LIBRARY_PATH=/opt/python/lib
exec /opt/python/bin/python3 -m wirewright "$@"
"""
LAY_OUT = """
mkdir -p /run/opt/python /run/opt/packages /run/opt/source /run/bin /run/work
mount --bind {base} /run/opt/python
mount --bind {packages} /run/opt/packages
mount --bind {source} /run/opt/source
mount --rbind /run/opt /opt
mount -t overlay overlay -o lowerdir=/usr/local/bin,upperdir=/run/bin,workdir=/run/work /usr/local/bin
cat > /usr/local/bin/ww
chmod 755 /usr/local/bin/ww
mkdir -p /etc/wireguard {units}
mount -t tmpfs tmpfs /etc/wireguard
"""
BOOT = """
mkdir /run/cgroup
mount -t cgroup2 none /run/cgroup
mkdir /run/cgroup/{group}
echo $$ > /run/cgroup/{group}/cgroup.procs
exec unshare --cgroup --pid --mount --uts --ipc --fork --kill-child --mount-proc sh -ec '
mount -t cgroup2 none /sys/fs/cgroup
exec env -i container=lab SYSTEMD_UNIT_PATH={units} {systemd} --unit=multi-user.target --log-target=null'
"""
CLEAR = (
    "mount -t cgroup2 none /mnt; ! [ -d /mnt/{group} ] || find /mnt/{group} -depth -type d -exec rmdir {{}} +"
)


@dataclass
class Manager:
    """A systemd that runs, the first process of its namespace."""

    machine: Machine
    pid: int
    """As this machine numbers it."""

    def ctl(self, *words: str, check: bool = True) -> str:
        """Call `systemctl` where it is: it answers only whom it sees."""
        enter = ("nsenter", f"--target={self.pid}", "--mount", "--pid", "--net", "--cgroup")
        command = [*enter, "systemctl", "--no-pager", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert not check or done.returncode == 0, done.stderr + self.said()
        return done.stdout.strip()

    def property(self, unit: str, name: str) -> str:
        return self.ctl("show", "--value", "-p", name, unit)

    def is_up(self) -> bool:
        return self.ctl("is-active", "multi-user.target", check=False) == "active"

    def said(self) -> str:
        """What services wrote, which explains a failure."""
        return self.machine.run("cat", "/run/said", check=False).stdout

    def processes(self) -> dict[int, list[str]]:
        """Give what runs under it, as this machine numbers it, with the words of its command."""
        found = {}
        own = Path(f"/proc/{self.pid}/ns/pid").readlink()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (process / "ns/pid").readlink() == own:
                    found[int(process.name)] = (process / "cmdline").read_text().split("\0")
        return found


@contextmanager
def systemd(machine: Machine, *, settings: str = "") -> Iterator[Manager]:
    """Start it in a host whose /run is its own, with our unit and more settings for that."""
    if not SYSTEMD.exists():
        missing("systemd", "run scripts/install_lab_tools.sh")
    places = {
        "base": Path(sys.base_prefix).resolve(),
        "packages": sysconfig.get_path("platlib"),
        "source": ROOT / "src",
        "units": UNITS,
    }
    machine.run("sh", "-ec", LAY_OUT.format(**places), input=PROGRAM)
    for target in TARGETS:
        write(machine, f"{UNITS}/{target}.target", "[Unit]\nDefaultDependencies=no\n")
    write(machine, f"{UNITS}/{UNIT.name}", UNIT.read_text())
    output = "[Service]\nStandardOutput=append:/run/said\nStandardError=append:/run/said\n"
    write(machine, f"{UNITS}/{UNIT.name}.d/lab.conf", output + settings)
    group = f"wirewright-{secrets.token_hex(4)}"
    boot = BOOT.format(group=group, units=UNITS, systemd=SYSTEMD)
    try:
        with machine.popen("sh", "-ec", boot):
            try:
                until(lambda: bool(firsts(machine)), "it is started", 40)
                manager = Manager(machine, firsts(machine)[0])
                until(manager.is_up, "it is up", 40)
                yield manager
            finally:
                # With the first process of a namespace all others end.
                for pid in firsts(machine):
                    os.kill(pid, signal.SIGKILL)
    finally:
        subprocess.run(["unshare", "--mount", "sh", "-ec", CLEAR.format(group=group)], check=True)


def firsts(machine: Machine) -> list[int]:
    """Find it: what `unshare` has started."""
    made = machine.processes("unshare")
    return [
        int(pid) for each in made for pid in Path(f"/proc/{each}/task/{each}/children").read_text().split()
    ]


def write(machine: Machine, path: str, text: str) -> None:
    machine.run("sh", "-ec", f"mkdir -p $(dirname {path}); umask 077; cat > {path}", input=text)
