"""Names inside: servers of the tunnel's in ``/etc/resolv.conf``, and no way to the host's own resolver.

What resolves names on the host does so outside of the tunnel, and a Unix socket leads to it from any network
namespace. So the C library is told to ask servers only, and the folders of the usual daemons are covered. Not
their sockets alone: whoever removes a file, or renames another over it, takes away what covers it elsewhere,
as a daemon does that starts again; and one that starts later has none yet. What a program may want of such
a folder, a ``resolv.conf``, is copied.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wirewright.confine import calls
from wirewright.confine.errors import ConfineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

RESOLV_CONF: Final = Path("/etc/resolv.conf")
NSSWITCH: Final = Path("/etc/nsswitch.conf")
DAEMONS: Final = (Path("/run/nscd"), Path("/var/run/nscd"), Path("/run/systemd/resolve"))
"""Where name daemons have their sockets; one of the first two is a link to the other, mostly."""
_COPIED: Final = ("resolv.conf", "stub-resolv.conf")

# Whatever lies there is not needed for a moment; it is there for sure, since the maps of users are.
_STAGE: Final = Path("/proc")
_OPTIONS: Final = "mode=0755,size=1m"
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
    folders = {folder: _contents(folder, covers) for folder in _folders(DAEMONS)}
    calls.mount("tmpfs", str(_STAGE), "tmpfs", options=_OPTIONS)
    try:
        for number, (target, text) in enumerate(covers.items()):
            if target.parent not in folders:
                source = _write(_STAGE / str(number), text)
                calls.mount(str(source), str(target), None, calls.MS_BIND)
    finally:
        calls.unmount(str(_STAGE))
    for folder, contents in folders.items():
        calls.mount("tmpfs", str(folder), "tmpfs", options=_OPTIONS)
        for name, text in contents.items():
            _write(folder / name, text)


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


def _folders(paths: Iterable[Path]) -> Sequence[Path]:
    """Give those that are there, each once. One that cannot be reached, the command cannot reach either."""
    found = []
    for path in paths:
        with suppress(OSError):
            found.append(path.resolve(strict=True))
    return [path for path in dict.fromkeys(found) if path.is_dir()]


def _contents(folder: Path, covers: Mapping[Path, str]) -> dict[str, str]:
    """Give the files that shall be in a folder: copies, or what covers them."""
    found = {target.name: text for target, text in covers.items() if target.parent == folder}
    asked = RESOLV_CONF.resolve()
    for name in (*_COPIED, *([asked.name] if asked.parent == folder else [])):
        with suppress(OSError):
            path = folder.joinpath(name).resolve(strict=True)
            found.setdefault(name, covers.get(path) or path.read_text(errors="surrogateescape"))
    return found


def _write(path: Path, text: str) -> Path:
    path.write_text(text, errors="surrogateescape")
    path.chmod(0o644)
    return path


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
