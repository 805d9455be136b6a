"""Who resolves names on this host, told which servers and search domains an interface brings.

All functions and methods raise OSError with words for a person.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Protocol

from wirewright.host.resolver import resolvconf, resolved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wirewright.config.values import IPAddress


class Resolver(Protocol):
    """One way to tell the host. No method needs an event loop of the caller, and all may wait for seconds."""

    @property
    def name(self) -> str:
        """What it is, in words for a person."""
        ...

    def set(self, interface: str, index: int, servers: Sequence[IPAddress], domains: Sequence[str]) -> None:
        """Have names resolved by these servers only, and searched in these domains; all or nothing.

        Without servers nothing is done, as by wg-quick(8).
        """
        ...

    def unset(self, interface: str, index: int) -> None:
        """Forget what the interface brought; silently if there is nothing, or the interface is gone (0)."""
        ...

    def describe(self, interface: str, servers: Sequence[IPAddress], domains: Sequence[str]) -> list[str]:
        """Give the command lines that would do what :meth:`set` does, for a plan that is printed."""
        ...

    def describe_unset(self, interface: str) -> list[str]:
        """Give the command lines that would do what :meth:`unset` does."""
        ...


def choose() -> Resolver:
    """Choose the way of this host: systemd-resolved if it is who is asked, else the tool resolvconf.

    OSError: there is neither. It says what to install.
    """
    if found := present():
        return found[0]
    raise OSError(
        errno.ENOPKG,
        f"nothing here takes DNS servers for an interface: {resolved.why_absent()}, "
        "and there is no resolvconf; "
        "install openresolv, or have systemd-resolved asked "
        "(ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf)",
    )


def present() -> list[Resolver]:
    """Give every way that this host has, the one to be used first; each may be asked to unset."""
    found: list[Resolver] = []
    if resolved.why_absent() is None:
        found.append(resolved.Resolved())
    tool = resolvconf.find()
    if tool is not None:
        found.append(resolvconf.Resolvconf(tool))
    return found
