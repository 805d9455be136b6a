"""Rules of nftables that a full tunnel needs, by netlink: what wg-quick(8) loads, in a table of our own.

All functions raise OSError with words for a person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wirewright.config.values import IPAddress


def guard(interface: str, mark: int, addresses: Iterable[IPAddress], version: int) -> None:
    """Guard an interface in one family, IP version 4 or 6, all or nothing.

    Packets to its ``addresses`` that come by another interface are dropped, unless they come from this host;
    answers to datagrams with the ``mark`` of the tunnel get the mark, too. Addresses of the other version are
    passed over. A guard that is there already is replaced. The errno is EOPNOTSUPP where the kernel has no
    nf_tables, or lacks a part of it.
    """
    raise NotImplementedError


def unguard(interface: str) -> None:
    """Remove the guard of an interface, in both families; nothing else, and silently if there is none."""
    raise NotImplementedError


def guarded(interface: str) -> bool:
    """Whether an interface is guarded, in either family."""
    raise NotImplementedError
