"""What the steps of a plan work on: the engine of the interface, and the host's parts."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from wirewright.host.network import Network
from wirewright.tunnel.system.errors import InterfaceError
from wirewright.tunnel.system.tables import claimed, free_table

if TYPE_CHECKING:
    from wirewright._core import HiddenText
    from wirewright.config.model import Hook
    from wirewright.host.engine import Engine


@dataclass
class Host:
    """The host, as far as an interface changes it."""

    engine: Engine
    network: Network = field(default_factory=Network)

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._stack.enter_context(self.network)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def claim_table(self, wanted: int | None) -> int:
        """Give the number of a table, a wanted or a free one, and keep others from choosing it."""
        if wanted:
            self._stack.enter_context(claimed(wanted))
            return wanted
        return self._stack.enter_context(free_table(self.network))

    def run_hook(self, hook: Hook, interface: str) -> None:
        """Run a command of a configuration file by a shell, as ``wg-quick`` does. Raises InterfaceError.

        The shell reads it from a file in memory: there may be a key in it, and arguments are for all to see.
        """
        bash = shutil.which("bash")
        # As in wg-quick, a part that fails ends the whole.
        shell = [bash, "-e", "-o", "pipefail", "-O", "extglob"] if bash else ["/bin/sh", "-e"]
        script = os.memfd_create("hook")
        try:
            # The shell reads from a descriptor of its own; what it starts shall not keep this one.
            os.write(script, f"exec {script}<&-\n".encode())
            for part in hook.parts:
                os.write(script, _text(part, interface))
            os.write(script, b"\n")
            os.lseek(script, 0, os.SEEK_SET)
            outcome = subprocess.run(  # noqa: S603 - the file's own hook
                [*shell, f"/dev/fd/{script}"],
                pass_fds=(script,),
                env=os.environ | {"LC_ALL": "C"},
                check=False,
            )
        finally:
            os.close(script)
        if outcome.returncode:
            status = outcome.returncode
            ended = f"ended by signal {-status}" if status < 0 else f"exit status {status}"
            raise InterfaceError(f"the hook failed, {ended}")

    def index(self, interface: str) -> int:
        """Give the number of an interface."""
        link = self.network.link(interface)
        if link is None:
            raise FileNotFoundError(2, os.strerror(2), interface)
        return link.index


def _text(part: str | HiddenText, interface: str) -> bytes:
    if isinstance(part, str):
        return part.replace("%i", interface).encode("utf-8", "surrogateescape")
    return part.expose()
