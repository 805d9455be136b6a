"""A folder of this machine that a virtual machine reads, by virtiofs.

Debian's kernel for virtual machines has no 9p. What serves the folder is a program beside QEMU, which comes
with it (before QEMU 8) or in a package of its own, and answers over memory that both share.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from .initramfs import GuestError

SERVERS: Final = ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "/usr/lib/virtiofsd")
TAG: Final = "share"
PATIENCE: Final = 30.0


class SharedFolder:
    """A folder, and the process that serves it to one guest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, socket: Path, memory: str) -> list[str]:
        """Serve it; return the words for QEMU's command line, for a guest of so much memory."""
        with socket.with_suffix(".log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own words
                [
                    _server(),
                    f"--socket-path={socket}",
                    # What the guest knows of a file holds: nothing changes while it runs.
                    *("-o", f"source={self._folder},sandbox=chroot,cache=always"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE
        while not socket.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = socket.with_suffix(".log").read_text(errors="replace")[-2000:]
                raise GuestError(f"{self._folder} is not shared: {words or 'virtiofsd does not answer'}")
            time.sleep(0.01)
        return [
            *("-object", f"memory-backend-memfd,id=memory,size={memory},share=on"),
            *("-numa", "node,memdev=memory"),
            *("-chardev", f"socket,id=share,path={socket}"),
            *("-device", f"vhost-user-fs-pci,chardev=share,tag={TAG}"),
        ]

    def mounts(self, root: str) -> list[str]:
        """Return the guest's commands that make it a root to run programs in."""
        # Empty and writable, but for one that our own programs lie in.
        empty = [each for each in ("run", "tmp") if not Path(sys.prefix).is_relative_to(f"/{each}")]
        return [
            f"mkdir -p {root} && mount -t virtiofs -o ro {TAG} {root}",
            # As programs expect them; the kernel's own /dev has no such links.
            "ln -s /proc/self/fd /dev/fd && ln -s fd/0 /dev/stdin && ln -s fd/1 /dev/stdout",
            f"for each in proc sys dev; do mount -o bind /$each {root}/$each || exit 1; done",
            f"for each in {' '.join(empty)}; do mount -t tmpfs none {root}/$each || exit 1; done",
        ]

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _server() -> str:
    for server in (*SERVERS, shutil.which("virtiofsd")):
        if server is not None and Path(server).exists():
            return server
    raise GuestError("virtiofsd is not installed")
