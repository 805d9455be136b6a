"""The tool resolvconf, whichever there is: openresolv's, Debian's, or the one in systemd's resolvectl.

It is called as wg-quick(8) calls it.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wirewright.config.values import IPAddress

INTERFACE_ORDER = Path("/etc/resolvconf/interface-order")
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PATIENCE: Final = 60.0
"""Seconds that it may take. It may wait for another one, and restart servers."""

WORDS = 4096
"""Bytes of what it says that are told."""

_ORDER = re.compile(r"([A-Za-z0-9-]+)\*", re.ASCII)


def find() -> str | None:
    """Find the tool, also where the user's path does not lead."""
    return shutil.which("resolvconf", path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}")


class Resolvconf:
    """A :class:`~wirewright.host.resolver.Resolver`."""

    name: Final = "resolvconf"

    def __init__(self, tool: str) -> None:
        self._tool = tool

    def set(self, interface: str, index: int, servers: Sequence[IPAddress], domains: Sequence[str]) -> None:
        """Add a record of the interface that takes the place of all others'."""
        del index
        if not servers:
            return
        lines = "".join(f"{line}\n" for line in _record(servers, domains))
        try:
            self._call(_add(interface), lines)
        except BaseException:
            # It may have noted the record before it failed.
            with suppress(OSError):
                self._call(_delete(interface), "")
            raise

    def unset(self, interface: str, index: int) -> None:
        """Delete the interface's record."""
        del index
        self._call(_delete(interface), "")

    def describe(self, interface: str, servers: Sequence[IPAddress], domains: Sequence[str]) -> list[str]:
        """Give the command line that sets."""
        if not servers:
            return []
        lines = shlex.join(["printf", "%s\\n", *_record(servers, domains)])
        return [f"{lines} | {shlex.join(['resolvconf', *_add(interface)])}"]

    def describe_unset(self, interface: str) -> list[str]:
        """Give the command line that unsets."""
        return [shlex.join(["resolvconf", *_delete(interface)])]

    def _call(self, arguments: list[str], text: str) -> None:
        what = shlex.join(["resolvconf", *arguments])
        try:
            status, said = _run([self._tool, *arguments], text)
        except subprocess.TimeoutExpired:
            raise OSError(errno.ETIMEDOUT, f"{what} is not done after {PATIENCE:g} s") from None
        except OSError as error:
            raise OSError(error.errno, f"cannot run {self._tool}: {error.strerror}") from None
        if status:
            raise OSError(errno.EIO, f"{what} failed: {said.strip() or f'it ended with {status}'}")
        # Such as that /etc/resolv.conf is not what it manages.
        sys.stderr.write(said)


def _run(command: list[str], text: str) -> tuple[int, str]:
    """Run a command to its end, but not to that of servers it starts; give its status and its words."""
    # Files, since servers would keep a pipe open. A session, so that an interrupt is for us alone.
    with TemporaryFile() as given, TemporaryFile() as said:
        given.write(text.encode())
        given.seek(0)
        with subprocess.Popen(  # noqa: S603 - the host's tool
            command, stdin=given, stdout=said, stderr=said, start_new_session=True
        ) as process:
            try:
                status = process.wait(PATIENCE)
            except BaseException:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
        said.seek(0)
        return status, said.read(WORDS).decode(errors="replace")


def _record(servers: Sequence[IPAddress], domains: Sequence[str]) -> list[str]:
    search = [f"search {' '.join(domains)}"] if domains else []
    return [*(f"nameserver {server}" for server in servers), *search]


def _add(interface: str) -> list[str]:
    return ["-a", f"{_prefix()}{interface}", "-m", "0", "-x"]


def _delete(interface: str) -> list[str]:
    return ["-d", f"{_prefix()}{interface}", "-f"]


def _prefix() -> str:
    """Give what makes Debian's tool, which knows no exclusive records, put a record before others.

    That is the first kind of interface that its order has without a pattern, such as ``tun``.
    """
    try:
        order = INTERFACE_ORDER.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = (_ORDER.fullmatch(line.strip()) for line in order.splitlines())
    return next((f"{match[1]}." for match in found if match), "")
