"""Names inside: servers of the tunnel's in ``/etc/resolv.conf``, and no way to the host's own resolver.

What resolves names on the host does so outside of the tunnel, and a Unix socket leads to it from any network
namespace. So the C library is told to ask servers only, and sockets of the usual daemons are covered.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wirewright.confine import calls
from wirewright.confine.errors import ConfineError

if TYPE_CHECKING:
    from collections.abc import Sequence

RESOLV_CONF: Final = Path("/etc/resolv.conf")
NSSWITCH: Final = Path("/etc/nsswitch.conf")
DAEMONS: Final = (Path("/run/nscd/socket"), Path("/run/systemd/resolve/io.systemd.Resolve"))

# Whatever lies there is not needed for a moment; it is there for sure, since the maps of users are.
_STAGE: Final = Path("/proc")
_HOSTS: Final = re.compile(r"^[ \t]*hosts:.*$", re.MULTILINE)
_OWN: Final = ("files", "myhostname", "dns")
"""Services that ask nobody but the servers."""


def mount_names(servers: Sequence[str], search: Sequence[str]) -> None:
    """Cover what is the host's, in this mount namespace."""
    covers: dict[Path, str] = {}
    if servers or search:
        covers[_target(RESOLV_CONF)] = resolv_conf(servers, search, _read(RESOLV_CONF))
    if switch := _read(NSSWITCH):
        covers[_target(NSSWITCH)] = nsswitch(switch)
    calls.mount("tmpfs", str(_STAGE), "tmpfs", options="mode=0755,size=1m")
    try:
        for number, (target, text) in enumerate(covers.items()):
            source = _STAGE / str(number)
            source.write_text(text, errors="surrogateescape")
            source.chmod(0o644)
            calls.mount(str(source), str(target), None, calls.MS_BIND)
    finally:
        calls.unmount(str(_STAGE))
    for daemon in DAEMONS:
        # Most hosts have none of them; one that cannot be reached, the command cannot reach either.
        with suppress(FileNotFoundError, PermissionError):
            calls.mount("/dev/null", str(daemon), None, calls.MS_BIND)


def resolv_conf(servers: Sequence[str], search: Sequence[str], host: str = "") -> str:
    """Write a ``resolv.conf``; with domains to search only, the servers stay the host's."""
    kept = [line for line in host.splitlines() if line.split()[:1] == ["nameserver"]]
    lines = [f"nameserver {server}" for server in servers] or kept
    if search:
        lines.append(f"search {' '.join(search)}")
    return "".join(f"{line}\n" for line in lines)


def nsswitch(text: str) -> str:
    """Leave those sources of host names that do not lead out of the tunnel."""

    def replaced(found: re.Match[str]) -> str:
        words = found.group().partition("#")[0].split()[1:]
        kept = [word for word in words if word in _OWN]
        return f"hosts: {' '.join(kept if 'dns' in kept else [*kept, 'dns'])}"

    return _HOSTS.sub(replaced, text)


def _target(path: Path) -> Path:
    """Follow links: what they lead to is covered."""
    target = path.resolve()
    if not target.exists():
        whither = f"leads to {target}, which" if target != path else "which"
        raise ConfineError(
            f"the DNS servers of the file cannot be given to the command: {path} {whither} is not there; "
            "make it, empty if need be"
        )
    return target


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except FileNotFoundError:
        return ""
