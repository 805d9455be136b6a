"""Debian's packages that resolve names, in hosts of a lab: the machine's own files stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import ROOT, missing

if TYPE_CHECKING:
    from wirewright.lab import Machine

PLACES = {
    "/etc": ("etc",),
    "/usr/sbin": ("sbin", "usr/sbin"),
    "/usr/lib": ("lib", "usr/lib"),
    "/usr/bin": ("usr/bin",),
}


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
