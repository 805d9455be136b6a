"""The smallest Linux that runs WireGuard: Debian's kernel, its modules, busybox, ``wg`` and ``ip``.

The kernel comes from Debian's package, which is taken apart and not installed. Everything else is taken from
this machine. The result is one file for QEMU's ``-initrd``, written here in cpio's "newc" form (the kernel's
``Documentation/driver-api/early-userspace/buffer-format.rst``).
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# What WireGuard, a full tunnel's guard, a gateway, the virtual network card and a shared folder need; their
# dependencies are looked up.
CIPHERS = ("chacha-x86_64", "poly1305-x86_64", "curve25519-x86_64")
FIREWALL = ("nf_tables", "nft_ct", "nft_connlimit", "nft_fib_inet", "nft_chain_nat", "nft_masq")
MODULES = (
    *("virtio_pci", "virtio_net", "virtio_console", "virtiofs"),
    *("wireguard", *CIPHERS, *FIREWALL),
)
PROGRAMS = ("wg", "ip")

# Commands come and answers go over a port of virtio's: an emulated UART once lost the first half of a line
# on a busy machine. The port reads as ended as long as nobody is at its other end. The UART is the kernel's.
INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in $(cat /modules); do insmod /lib/modules/$module || echo "no $module"; done
ip link set lo up
until [ -e /dev/vport*p1 ]; do sleep 0.05; done
exec 3<>$(echo /dev/vport*p1)
echo "wirewright guest is up" >&3
while read -r line <&3; do
    sh -c "$line" >/output 2>&1 </dev/null
    status=$?
    wc -c </output | tr -d '\\n' >&3
    echo " $status" >&3
    cat /output >&3
done
poweroff -f
"""


class GuestError(Exception):
    """A guest cannot be built or does not do what it is asked."""


@dataclass(frozen=True)
class Image:
    """A kernel and its initial file system."""

    kernel: Path
    initramfs: Path


def build(cache: Path) -> Image:
    """Return the image, built in ``cache`` unless it is there already."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        # One builds it, the others wait and find it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Checkouts share the folder; what they put in may differ.
        what = hashlib.sha256(repr((INIT, MODULES, PROGRAMS)).encode()).hexdigest()[:12]
        image = Image(cache / f"vmlinuz-{what}", cache / f"initramfs-{what}.gz")
        if not (image.kernel.exists() and image.initramfs.exists()):
            make(image, cache)
    return image


def make(image: Image, cache: Path) -> None:
    """Build the image, wholly or not at all."""
    root = unpack_kernel(cache)
    modules = sorted(root.glob("lib/modules/*"))[-1]
    files = [
        ("init", INIT.encode(), 0o755),
        ("bin/busybox", Path(found("busybox")).read_bytes(), 0o755),
        *programs(),
    ]
    order = load_order(modules)
    files += [(f"lib/modules/{path.name}", path.read_bytes(), 0o644) for path in order]
    files.append(("modules", " ".join(path.name for path in order).encode(), 0o644))
    applets = run("busybox", "--list").split()
    links = [(f"bin/{applet}", "busybox") for applet in applets if applet not in ("busybox", *PROGRAMS)]
    archive = gzip.compress(cpio(files, links), compresslevel=1)
    for target, content in (
        (image.initramfs, archive),
        (image.kernel, next(root.glob("boot/vmlinuz-*")).read_bytes()),
    ):
        partial = target.with_suffix(f".{id(archive)}")
        partial.write_bytes(content)
        partial.rename(target)
    shutil.rmtree(root)


def unpack_kernel(cache: Path) -> Path:
    """Fetch Debian's kernel package for virtual machines and take it apart; return where it lies."""
    names = kernel_packages()
    if not names:
        run("apt-get", "update", "-q")
        names = kernel_packages()
    if not names:
        raise GuestError("apt knows no kernel package linux-image-cloud-amd64")
    download = cache / "download"
    shutil.rmtree(download, ignore_errors=True)
    download.mkdir()
    run("apt-get", "download", "-q", names[0], directory=download)
    root = cache / "root"
    shutil.rmtree(root, ignore_errors=True)
    run("dpkg-deb", "-x", str(next(download.glob("*.deb"))), str(root))
    shutil.rmtree(download)
    return root


def kernel_packages() -> list[str]:
    """Return the packages that Debian's name for the newest one stands for."""
    try:
        depends = run("apt-cache", "depends", "linux-image-cloud-amd64")
    except GuestError:
        return []
    return [line.split()[-1] for line in depends.splitlines() if "Depends: linux-image-" in line]


def load_order(modules: Path) -> list[Path]:
    """Return the module files, each behind those that it depends on."""
    where = {path.stem.replace("-", "_"): path for path in modules.rglob("*.ko")}
    builtin = {
        Path(line).stem.replace("-", "_") for line in (modules / "modules.builtin").read_text().splitlines()
    }
    order: dict[Path, None] = {}

    def add(name: str) -> None:
        name = name.replace("-", "_")
        if name in builtin:
            return
        path = where.get(name)
        if path is None:
            raise GuestError(f"the kernel package has no module {name}")
        if path in order:
            return
        for needed in dependencies(path.read_bytes()):
            add(needed)
        order[path] = None

    for name in MODULES:
        add(name)
    return list(order)


def dependencies(module: bytes) -> list[str]:
    """Return the names of the modules that a module needs: one of the strings in its ``.modinfo`` section."""
    _, _, rest = module.partition(b"\0depends=")
    return [name.decode() for name in rest.partition(b"\0")[0].split(b",") if name]


def programs() -> Iterator[tuple[str, bytes, int]]:
    """Yield the programs and the libraries that they are linked with."""
    libraries: set[str] = set()
    for name in PROGRAMS:
        path = found(name)
        yield f"bin/{name}", Path(path).read_bytes(), 0o755
        for line in run("ldd", path).splitlines():
            libraries.update(word for word in line.split() if word.startswith("/"))
    for library in sorted(libraries):
        yield library.lstrip("/"), Path(library).read_bytes(), 0o755


def cpio(files: Iterable[tuple[str, bytes, int]], links: Iterable[tuple[str, str]]) -> bytes:
    """Return an archive of files (path, content, mode), links (path, target) and their directories."""
    entries = [(path, content, stat.S_IFREG | mode) for path, content, mode in files]
    entries += [(path, target.encode(), stat.S_IFLNK | 0o777) for path, target in links]
    directories = {str(parent) for path, _, _ in entries for parent in Path(path).parents} - {"."}
    directories |= {"proc", "sys", "dev", "tmp"}
    archive = bytearray()
    for number, (path, content, mode) in enumerate(
        [
            *((path, b"", stat.S_IFDIR | 0o755) for path in sorted(directories)),
            *entries,
            ("TRAILER!!!", b"", 0),
        ],
        1,
    ):
        name = path.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        archive += b"070701" + b"".join(b"%08x" % field for field in fields) + name
        archive += bytes(-len(archive) % 4)
        archive += content
        archive += bytes(-len(archive) % 4)
    return bytes(archive)


def found(program: str) -> str:
    """Return the path of a program of this machine."""
    path = shutil.which(program)
    if path is None:
        raise GuestError(f"{program} is not installed")
    return path


def run(*command: str, directory: Path | None = None) -> str:
    """Return what a command prints; raise if it fails."""
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)  # noqa: S603 - own words
    if done.returncode:
        raise GuestError(f"{' '.join(command)}: {done.stderr.strip() or f'exit status {done.returncode}'}")
    return done.stdout
