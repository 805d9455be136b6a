"""A virtual machine with the real kernel's WireGuard, for a test to talk to.

QEMU emulates the processor, so that it runs wherever Python does: it boots in a few seconds, and its speed
says nothing.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from .initramfs import GuestError, Image, found
from .share import SharedFolder

BOOT_SECONDS = 90
COMMAND_SECONDS = 60
MEMORY = "384M"
SHARED_ROOT = "/share"


class Guest:
    """A running guest. Its network card is the tap device ``tap`` of the namespace that QEMU is started in.

    ``prefix`` goes before QEMU's command line: ``("ip", "netns", "exec", name)``. ``share`` is a root of
    programs, mostly this machine's own, that the guest is to have too: it reads them where they are.
    """

    def __init__(
        self, image: Image, tap: str, prefix: Sequence[str] = (), *, share: Path | None = None
    ) -> None:
        self._share = None if share is None else SharedFolder(share)
        self._directory = tempfile.TemporaryDirectory(prefix="guest-")
        self._path = Path(self._directory.name)
        self._image, self._tap, self._prefix = image, tap, tuple(prefix)
        self._process: subprocess.Popen[bytes] | None = None
        self._port: socket.socket | None = None
        self._input = b""

    def __enter__(self) -> Guest:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the machine."""
        if self._port is not None:
            self._port.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._share is not None:
            self._share.close()
        self._directory.cleanup()

    def run(self, command: str | Sequence[str], seconds: float = COMMAND_SECONDS) -> str:
        """Run a command of the guest's shell; return what it prints, or raise with it if it fails."""
        line = command if isinstance(command, str) else shlex.join(command)
        assert "\n" not in line, "one line at a time"
        assert self._port is not None, "the guest is not running"
        self._port.sendall(line.encode() + b"\n")
        deadline = time.monotonic() + seconds
        length, status = self._take(b"\n", deadline).split()
        output = self._take_bytes(int(length), deadline).decode(errors="replace")
        if int(status):
            raise GuestError(f"{line}: exit status {int(status)}: {output}")
        return output

    def run_shared(self, *command: str, seconds: float = COMMAND_SECONDS) -> str:
        """Run a program of the shared root, with the guest's kernel under it; otherwise as `run`."""
        assert self._share is not None, "the guest shares no folder"
        return self.run(["chroot", SHARED_ROOT, *command], seconds)

    @property
    def console(self) -> str:
        """What the kernel has said so far."""
        with contextlib.suppress(FileNotFoundError):
            return (self._path / "console").read_text(errors="replace")
        return ""

    def _start(self) -> None:
        share = [] if self._share is None else self._share.start(self._path / "share", MEMORY)
        command = [
            *self._prefix,
            found("qemu-system-x86_64"),
            *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none"),
            *("-machine", "pc", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", MEMORY),
            *("-kernel", str(self._image.kernel), "-initrd", str(self._image.initramfs)),
            *("-append", "console=ttyS0 panic=-1 quiet mitigations=off tsc=reliable"),
            *("-serial", f"file:{self._path / 'console'}"),
            *("-device", "virtio-serial-pci", "-device", "virtserialport,nr=1,chardev=commands"),
            *("-chardev", f"socket,id=commands,path={self._path / 'commands'},server=on,wait=off"),
            *("-netdev", f"tap,id=net,ifname={self._tap},script=no,downscript=no"),
            *("-device", "virtio-net-pci,netdev=net,romfile="),
            *share,
        ]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "TMPDIR": str(self._path)}
        log = (self._path / "qemu").open("wb")
        with log:
            self._process = subprocess.Popen(  # noqa: S603 - our own words
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )
        deadline = time.monotonic() + BOOT_SECONDS
        self._connect(deadline)
        self._take(b"wirewright guest is up\n", deadline)
        if self._share is not None:
            for line in self._share.mounts(SHARED_ROOT):
                self.run(line)

    def _connect(self, deadline: float) -> None:
        while True:
            port = socket.socket(socket.AF_UNIX)
            try:
                port.connect(str(self._path / "commands"))
            except OSError:
                port.close()
                self._check(deadline)
                time.sleep(0.05)
            else:
                self._port = port
                return

    def _take(self, mark: bytes, deadline: float) -> bytes:
        while mark not in self._input:
            self._receive(deadline)
        taken, _, self._input = self._input.partition(mark)
        return taken

    def _take_bytes(self, count: int, deadline: float) -> bytes:
        while len(self._input) < count:
            self._receive(deadline)
        taken, self._input = self._input[:count], self._input[count:]
        return taken

    def _receive(self, deadline: float) -> None:
        assert self._port is not None, "the guest is not running"
        self._check(deadline)
        self._port.settimeout(1)
        with contextlib.suppress(TimeoutError):
            received = self._port.recv(65536)
            if not received:
                raise GuestError(f"the guest ended: {self._words()}")
            self._input += received

    def _check(self, deadline: float) -> None:
        if self._process is not None and self._process.poll() is not None:
            raise GuestError(f"QEMU ended with status {self._process.returncode}: {self._words()}")
        if time.monotonic() > deadline:
            raise GuestError(f"the guest did not answer in time: {self._words()}")

    def _words(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return (self.console + (self._path / "qemu").read_text(errors="replace"))[-2000:]
        return self.console[-2000:]
