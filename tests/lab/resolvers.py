"""Debian's packages that resolve names, in hosts of a lab: the machine's own files stay as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import ROOT, missing
from tests.interop.relay import until
from tests.lab.bus import CONFIGURATION

if TYPE_CHECKING:
    from wirewright.lab import Machine

PLACES = {
    "/etc": ("etc",),
    "/usr/sbin": ("sbin", "usr/sbin"),
    "/usr/lib": ("lib", "usr/lib"),
    "/usr/bin": ("usr/bin",),
}
BEFORE = "# by hand\nsearch home.example\nnameserver 192.0.2.53\n"
RECORDS = "cd /run/resolvconf && find . -type f ! -name '*lock*' | sort | xargs -d '\\n' grep -H ''"
USER = "systemd-resolve"
STUB = "/run/systemd/resolve/stub-resolv.conf"
NAMES = """
import socket, sys
import dns.message, dns.rrset
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind((sys.argv[1], 53))
    while True:
        query, source = sock.recvfrom(4096)
        asked = dns.message.from_wire(query)
        response = dns.message.make_response(asked)
        (question,) = asked.question
        known = question.name.to_text() in ("db.example.", "cache.example.", "nobody.example.")
        if known and question.rdtype == 1:
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", sys.argv[1]))
        sock.sendto(response.to_wire(), source)
"""


def unpacked(package: str) -> Path:
    """Return where scripts/install_lab_tools.sh put a package's files."""
    path = ROOT / ".cache" / "lab" / package
    if not path.is_dir():
        missing(package, "run scripts/install_lab_tools.sh")
    return path


def install(machine: Machine, *packages: str) -> None:
    """Lay the files of packages over those of a host, which has a /run of its own then."""
    folders = [unpacked(package) for package in packages]
    machine.run("mount", "-t", "tmpfs", "tmpfs", "/run")
    machine.run("mkdir", "/run/wireguard")
    for number, (place, names) in enumerate(PLACES.items()):
        layers = [folder / name for folder in folders for name in names if (folder / name).is_dir()]
        upper, work = f"/run/over/{number}/upper", f"/run/over/{number}/work"
        machine.run("mkdir", "-p", upper, work)
        options = f"lowerdir={':'.join([*map(str, layers), place])},upperdir={upper},workdir={work}"
        machine.run("mount", "-t", "overlay", "overlay", "-o", options, place)


def write(machine: Machine, path: str, text: str) -> None:
    machine.run("sh", "-c", f"rm -f {path} && cat > {path}", input=text)


def read(machine: Machine, path: str) -> str:
    return machine.run("cat", path).stdout


def openresolv(machine: Machine) -> None:
    install(machine, "openresolv")
    write(machine, "/etc/resolv.conf", BEFORE)


def debian(machine: Machine) -> None:
    install(machine, "resolvconf")
    machine.run("sh", "-c", "rm /etc/resolv.conf && ln -s /run/resolvconf/resolv.conf /etc/resolv.conf")
    machine.run("mkdir", "-p", "/run/resolvconf/interface")
    machine.run("resolvconf", "--enable-updates")


def systemd_resolved(machine: Machine) -> None:
    """Start it, with a system bus of its own, and have it asked."""
    install(machine, "systemd-resolved", "libsystemd-shared")
    for path, line in (("/etc/passwd", f"{USER}:x:997:997::/:/bin/false"), ("/etc/group", f"{USER}:x:997:")):
        others = [each for each in read(machine, path).splitlines() if not each.startswith(USER)]
        write(machine, path, "\n".join([*others, line, ""]))
    write(machine, "/etc/resolv.conf", "nameserver 192.0.2.2\n")
    machine.run("mkdir", "-p", "/run/dbus", "/run/systemd/resolve")
    machine.run("chown", f"{USER}:{USER}", "/run/systemd/resolve")
    write(machine, "/run/bus.conf", CONFIGURATION.format(path="/run/dbus/system_bus_socket"))
    machine.run("dbus-daemon", "--config-file=/run/bus.conf", "--fork")
    machine.run("sh", "-c", "/lib/systemd/systemd-resolved >/dev/null 2>&1 &")
    until(lambda: machine.run("test", "-s", STUB, check=False).returncode == 0, "it has written its file")
    until(lambda: machine.run("resolvectl", "status", check=False).returncode == 0, "it answers")
    machine.run("ln", "-sf", STUB, "/etc/resolv.conf")


def names(machine: Machine, address: str, folder: Path) -> subprocess.Popen[str]:
    """Say where `db` and `cache` are, in the domain `example`."""
    process = start(machine, folder / "names.log", sys.executable, "-c", NAMES, address)
    bound = ("sh", "-c", f"ss -lunH src {address}:53 | grep -q .")
    until(lambda: machine.run(*bound, check=False).returncode == 0, "names are served")
    return process


def start(
    machine: Machine, log: Path, *words: str, env: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start something that goes on until the host ends."""
    with log.open("w") as writing:
        return machine.popen(*words, env=env or {}, stdout=writing, stderr=writing, text=True)
